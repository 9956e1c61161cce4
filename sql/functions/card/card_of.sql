-- bundle 4
-- As the caller: the policies of the host decide who sees the card.
create or replace function jobsdb.card_of(
  card_id text
)
returns jsonb
language plpgsql
stable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id public.kanban_cards.id%type := card_of.card_id;
begin
  return (select to_jsonb(c.*) from public.kanban_cards as c where c.id = v_id);
end;
$$;
revoke all on function jobsdb.card_of(text) from public, anon, authenticated, service_role;
grant execute on function jobsdb.card_of(text) to authenticated, service_role;
grant execute on function jobsdb.card_hash(jsonb) to authenticated, service_role;

comment on function jobsdb.card_of(text) is
'Reads one card as the caller may see it.
Returns: to_jsonb() of the row, null when there is none for the caller.
Errors:  none.
Source:  sql/functions/card/card_of.sql';
