-- bundle 4
create or replace function jobsdb.check_budget()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_used record;
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;
  select u.cost, u.tokens_in + u.tokens_out as tokens
  into v_used
  from jobsdb.job_usage as u
  where u.job_id = new.id and u.org_id = new.org_id;
  if v_used.cost >= (new.params #>> '{budget,max_cost}')::numeric
    or v_used.tokens >= (new.params #>> '{budget,max_tokens}')::numeric then
    raise exception using
      errcode = 'JB050',
      message = format('job "%s" cannot go on, its budget is spent', new.id),
      detail = format('Used: cost %s, tokens %s.', v_used.cost, v_used.tokens),
      hint = 'Raise params.budget first, then resume the job.';
  end if;
  return new;
end;
$$;
revoke all on function jobsdb.check_budget() from public, anon, authenticated, service_role;

comment on function jobsdb.check_budget() is
'Trigger: a job whose budget is spent is not resumed.
Returns: the row.
Errors:  JB050 the budget is spent.
Source:  sql/functions/campaign/check_budget.sql';
