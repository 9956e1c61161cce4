-- bundle 4
-- The rows are read again: a host's trigger may have changed them since, in a statement of its own.
create or replace function jobsdb.keep_review_queue()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_row record;
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;

  case tg_op
    when 'INSERT' then
      for v_row in select n.id::text as card_id from new_rows as n where n.job_id is not null loop
        perform jobsdb.queue_card(v_row.card_id);
      end loop;
    when 'UPDATE' then
      for v_row in
        select n.id::text as card_id from new_rows as n where n.job_id is not null
        union
        select o.id::text from old_rows as o where o.job_id is not null
      loop
        perform jobsdb.queue_card(v_row.card_id);
      end loop;
    when 'DELETE' then
      delete from jobsdb.waiting_cards as w
      where w.card_id in (select o.id::text from old_rows as o where o.job_id is not null);
    else  -- TRUNCATE
      delete from jobsdb.waiting_cards as w where w.id is not null;
  end case;
  return null;
end;
$$;
revoke all on function jobsdb.keep_review_queue()
from public, anon, authenticated, service_role;

comment on function jobsdb.keep_review_queue() is
'Trigger: keeps the list of linked cards that wait for a person.
Returns: null.
Errors:  none.
Source:  sql/functions/card/keep_review_queue.sql';
