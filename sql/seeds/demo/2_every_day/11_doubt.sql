-- Ana asks whether an e-mail is in doubt.
-- as: tenant
select
  b.items,
  b.sentence
from job_blockers(current_setting('demo.job')::uuid) as b
where b.what = 'sends_unknown';
