-- bundle 4
-- What was spent is spent, so it is always noted; what the cap can do is that nothing more of the
-- job is handed out. A single run can overshoot by what it costs.
create or replace function public.record_usage(
  job_id uuid,
  cost numeric default 0,
  tokens_in bigint default 0,
  tokens_out bigint default 0
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_job public.jobs;
  v_used jobsdb.job_usage;
begin
  if (
    record_usage.cost >= 0 and record_usage.tokens_in >= 0 and record_usage.tokens_out >= 0
    and record_usage.cost < 'Infinity'
  ) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'usage cannot be negative or unknown',
      detail = format(
        'cost %s, tokens_in %s, tokens_out %s.',
        record_usage.cost, record_usage.tokens_in, record_usage.tokens_out
      ),
      hint = 'Report what was used since the last call.';
  end if;
  v_job := jobsdb.see_job(record_usage.job_id);
  if v_job.params ? 'budget' then
    v_job := jobsdb.take_job(v_job.id);  -- first: it may have to be paused
  end if;

  insert into jobsdb.job_usage as u (job_id, org_id, cost, tokens_in, tokens_out)
  values (
    v_job.id, v_job.org_id, record_usage.cost, record_usage.tokens_in, record_usage.tokens_out
  )
  on conflict on constraint job_usage_pkey do update
  set
    cost = u.cost + excluded.cost,
    tokens_in = u.tokens_in + excluded.tokens_in,
    tokens_out = u.tokens_out + excluded.tokens_out,
    updated_at = now()
  returning u.*
  into v_used;
  perform jobsdb.refreeze_job(v_job.id);

  if v_used.cost < (v_job.params #>> '{budget,max_cost}')::numeric is not false
    and v_used.tokens_in + v_used.tokens_out
      < (v_job.params #>> '{budget,max_tokens}')::numeric is not false then
    return 'ok';
  end if;
  if v_job.status = 'running' and v_job.paused_at is null then
    perform jobsdb.set_job_paused(v_job.id, true);
  end if;
  return 'budget_spent';
end;
$$;
revoke all on function public.record_usage(uuid, numeric, bigint, bigint)
from public, anon, authenticated, service_role;
grant execute on function public.record_usage(uuid, numeric, bigint, bigint) to service_role;

comment on function public.record_usage(uuid, numeric, bigint, bigint) is
'Notes what an agent has used for a job. When params.budget (max_cost, max_tokens) is reached, the job is paused, so nothing more of it is handed out before a person raises the budget and resumes it. Service role only.
Units:   what was used since the last call.
Returns: ok or budget_spent.
Errors:  JB011 negative usage; JB020 unknown job.
Source:  sql/functions/campaign/record_usage.sql';
