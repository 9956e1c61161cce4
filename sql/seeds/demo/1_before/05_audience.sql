-- She looks at who is in and who is out.
-- as: tenant
-- shows: rows
select
  coalesce('out: ' || d.reason, 'in') as audience,
  count(*) as contacts,
  min(d.contact_key) as example
from dry_run_job(current_setting('demo.job')::uuid) as d
group by d.reason
order by count(*) desc, d.reason;
