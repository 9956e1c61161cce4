-- Why a job goes on.
-- $1 the job.
select
  b.what,
  b.sentence,
  b.oldest_at,
  b.next_at
from public.job_blockers($1::uuid) as b;
