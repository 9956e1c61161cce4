-- bundle 5
-- What was sent was sent: a host whose triggers or policies do not let its card be done cannot undo
-- that. The card stays approved then, and job_blockers names it.
create or replace function jobsdb.close_card(
  send jobsdb.sends
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id public.kanban_cards.id%type := (close_card.send).card_id;
begin
  update public.kanban_cards as c
  set state = 'done'
  where c.id = v_id
    and c.job_id = (close_card.send).job_id
    and c.org_id = (close_card.send).org_id
    and jobsdb.card_state(to_jsonb(c.*)) = 'approved';
exception
  when others then
    if jobsdb.is_passing(sqlstate) then
      raise;
    end if;
    raise warning 'card "%" was sent and cannot be done: %', v_id, sqlerrm;
end;
$$;
revoke all on function jobsdb.close_card(jobsdb.sends)
from public, anon, authenticated, service_role;

comment on function jobsdb.close_card(jobsdb.sends) is
'Sets the card of an e-mail done, once it was sent.
Returns: nothing.
Errors:  none; a refusal becomes a WARNING.
Source:  sql/functions/send/close_card.sql';
