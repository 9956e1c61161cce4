-- bundle 5
create or replace function jobsdb.job_blockers(
  job_id uuid
)
returns table (
  what text,
  items bigint,
  oldest_at timestamptz,
  next_at timestamptz,
  sentence text,
  ids bigint[]
)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job public.jobs := jobsdb.see_job(job_blockers.job_id);
begin
  if v_job.status in ('succeeded', 'failed', 'cancelled') then
    return query select b.* from jobsdb.blockers_of(v_job) as b where b.what = 'sends_unknown';
    return;
  end if;
  return query
  select s.what, 1::bigint, s.since, null::timestamptz, s.sentence, null::bigint[]
  from (
    values
    (v_job.status = 'pending', 'job_pending', v_job.created_at, 'the job has not been started'),
    (v_job.paused_at is not null, 'job_paused', v_job.paused_at, 'the job is paused')
  ) as s (is_so, what, since, sentence)
  where s.is_so;
  return query select b.* from jobsdb.blockers_of(v_job) as b order by b.what;
end;
$$;
revoke all on function jobsdb.job_blockers(uuid) from public, anon, authenticated, service_role;
grant execute on function jobsdb.job_blockers(uuid) to authenticated, service_role;

comment on function jobsdb.job_blockers(uuid) is
'Body of public.job_blockers.
Source:  sql/functions/send/job_blockers.sql';

create or replace function public.job_blockers(
  job_id uuid
)
returns table (
  what text,
  items bigint,
  oldest_at timestamptz,
  next_at timestamptz,
  sentence text,
  ids bigint[]
)
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select
    b.what,
    b.items,
    b.oldest_at,
    b.next_at,
    b.sentence,
    b.ids
  from jobsdb.job_blockers(job_blockers.job_id) as b;
end;
revoke all on function public.job_blockers(uuid) from public, anon, authenticated, service_role;
grant execute on function public.job_blockers(uuid) to authenticated, service_role;

comment on function public.job_blockers(uuid) is
'Says why a job is not finished: what is still open, since when, and when it goes on. Of a finished job only e-mails of which nobody knows whether they went out.
Returns: a row for each kind of open work: tasks_pending, tasks_running, cards_in_review, cards_approved, sends_open, sends_unknown (with ids, for resolve_unknown), contacts_active, job_pending, job_paused; none when nothing is in the way.
Errors:  JB020 not found or not yours.
Source:  sql/functions/send/job_blockers.sql';
