-- bundle 5
create or replace function jobsdb.cancel_deleted()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_cards text[];
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;
  v_cards := array(select o.id::text from old_rows as o where o.job_id is not null);
  update jobsdb.sends as s
  set state = 'cancelled', reason = 'the card was deleted', settled_at = now()
  where s.id = any(array(
    select q.id
    from jobsdb.sends as q
    where q.card_id = any(v_cards) and q.state = 'queued'
    order by q.id
    for no key update
  ))
  and s.state = 'queued';
  return null;
end;
$$;
revoke all on function jobsdb.cancel_deleted() from public, anon, authenticated, service_role;

comment on function jobsdb.cancel_deleted() is
'Trigger: what is queued of deleted cards is cancelled.
Returns: null.
Errors:  none.
Source:  sql/functions/send/cancel_deleted.sql';
