-- bundle 5
create or replace function jobsdb.may_go_out(
  send jobsdb.sends
)
returns text
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_job public.jobs;
  v_card jsonb;
  v_id public.kanban_cards.id%type := (may_go_out.send).card_id;
begin
  select j.*
  into v_job
  from public.jobs as j
  where j.id = (may_go_out.send).job_id and j.org_id = (may_go_out.send).org_id;
  if v_job.id is null or v_job.status in ('succeeded', 'failed', 'cancelled') then
    return 'the job is finished';
  end if;
  if v_job.status <> 'running' or v_job.paused_at is not null then
    return 'wait';
  end if;

  if v_job.params ? 'send_window'
    and jobsdb.window_of_send(may_go_out.send, v_job.params) > now() then
    return 'later';
  end if;

  select to_jsonb(c.*)
  into v_card
  from public.kanban_cards as c
  where c.id = v_id
    and c.job_id = v_job.id
    and c.org_id = v_job.org_id;
  if v_card is null
    or jobsdb.card_state(v_card) <> 'approved'
    or jobsdb.card_hash(v_card) <> (may_go_out.send).content_hash then
    return 'the card is not approved';
  end if;
  if jobsdb.is_suppressed(v_job.org_id, (may_go_out.send).recipient) then
    return 'suppressed';
  end if;
  return (
    select c.reason
    from jobsdb.job_contacts as c
    where c.job_id = v_job.id
      and c.org_id = v_job.org_id
      and c.contact_key = (may_go_out.send).contact_key
      and c.state = 'stopped'
  );
end;
$$;
revoke all on function jobsdb.may_go_out(jobsdb.sends)
from public, anon, authenticated, service_role;

comment on function jobsdb.may_go_out(jobsdb.sends) is
'Asks everything anew that can keep an approved e-mail from going out.
Returns: null: it may go; wait: not now, the job is paused or not started; later: its window is closed; suppressed; or why never.
Errors:  none.
Source:  sql/functions/send/may_go_out.sql';
