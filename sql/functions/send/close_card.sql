-- bundle 5
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
declare
  v_id public.kanban_cards.id%type := (close_card.send).card_id;
begin
  update public.kanban_cards as c
  set state = 'done'
  where c.id = v_id
    and c.job_id = (close_card.send).job_id
    and c.org_id = (close_card.send).org_id
    and jobsdb.card_state(to_jsonb(c)) = 'approved';
end;
$$;
revoke all on function jobsdb.close_card(jobsdb.sends)
from public, anon, authenticated, service_role;

comment on function jobsdb.close_card(jobsdb.sends) is
'Sets the card of an e-mail done, once it was sent.
Returns: nothing.
Errors:  none.
Source:  sql/functions/send/close_card.sql';
