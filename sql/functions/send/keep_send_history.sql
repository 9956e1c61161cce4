-- bundle 5
create or replace function jobsdb.keep_send_history()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if tg_relid <> 'jobsdb.sends'::regclass then
    perform jobsdb.refuse_trigger('jobsdb.sends');
  end if;
  insert into jobsdb.events (
    org_id, job_id, entity, entity_id, old_status, new_status, actor, actor_role
  )
  values (
    new.org_id,
    new.job_id,
    'send',
    new.id::text,
    case when tg_op = 'UPDATE' then old.state end,
    new.state,
    auth.uid(),
    jobsdb.caller_role()
  );
  perform jobsdb.refreeze_job(new.job_id);
  return null;
end;
$$;
revoke all on function jobsdb.keep_send_history()
from public, anon, authenticated, service_role;

comment on function jobsdb.keep_send_history() is
'Trigger: writes down what has become of an e-mail.
Returns: null.
Errors:  none.
Source:  sql/functions/send/keep_send_history.sql';
