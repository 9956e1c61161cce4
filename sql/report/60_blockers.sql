-- What it waits for
-- Why the job is not finished.
-- $1 the job.
select
  b.sentence as reason,
  b.oldest_at as since,
  b.next_at as goes_on_at
from public.job_blockers($1::uuid) as b;
