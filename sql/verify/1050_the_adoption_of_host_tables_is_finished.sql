-- 1050 The adoption of host tables is finished.
-- so: links to jobs are not all proved yet, and looking up the cards of a job may be slow
select
  'adoption' as object,
  s.step as missing,
  null as extra,
  'jobsdb migrate' as fix
from jobsdb.adoption_steps() as s (step);
