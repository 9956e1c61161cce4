-- Left out or stopped
-- Contacts that get nothing, or nothing more, and why.
-- $1 the job.
select
  d.reason,
  count(*) as contacts
from public.dry_run_job($1::uuid) as d
where not d.is_in
group by d.reason
order by count(*) desc, d.reason asc;
