-- bundle 2
create or replace function jobsdb.stamp_card()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;
  new.updated_at := now();
  return new;
end;
$$;
revoke all on function jobsdb.stamp_card() from public, anon, authenticated, service_role;

comment on function jobsdb.stamp_card() is
'Trigger: stamps the last change of a card, where the table is of our making.
Returns: the row.
Errors:  none.
Source:  sql/functions/card/stamp_card.sql';
