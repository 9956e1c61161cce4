-- Ana asks of which e-mails nobody knows whether they went out.
-- as: tenant
select d.send
from job_blockers(current_setting('demo.job')::uuid) as b
cross join unnest(b.ids) as d (send)
where b.what = 'sends_unknown';
