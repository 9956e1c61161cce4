-- bundle 2
-- Every linked row before the statement counts −1 in its old state, every one after it +1 in its
-- new one: inserts, deletes, moves between states and jobs come out right by the same sum.
create or replace function jobsdb.update_job_metrics_on_card_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_change record;
begin
  if tg_relid <> 'public.kanban_cards'::regclass then
    perform jobsdb.refuse_trigger('public.kanban_cards');
  end if;

  case tg_op
    when 'INSERT' then
      perform jobsdb.count_cards(array(
        select row(n.job_id, n.org_id, to_jsonb(n.*) ->> 'state', count(*))::jobsdb.card_count
        from new_rows as n
        where n.job_id is not null
        group by n.job_id, n.org_id, to_jsonb(n.*) ->> 'state'
      ));
    when 'DELETE' then
      perform jobsdb.count_cards(array(
        select row(o.job_id, o.org_id, to_jsonb(o.*) ->> 'state', -count(*))::jobsdb.card_count
        from old_rows as o
        where o.job_id is not null
        group by o.job_id, o.org_id, to_jsonb(o.*) ->> 'state'
      ));
    when 'UPDATE' then
      perform jobsdb.count_cards(array(
        select row(c.job_id, c.org_id, c.state, sum(c.cards))::jobsdb.card_count
        from (
          select n.job_id, n.org_id, to_jsonb(n.*) ->> 'state' as state, 1 as cards
          from new_rows as n
          where n.job_id is not null
          union all
          select o.job_id, o.org_id, to_jsonb(o.*) ->> 'state', -1
          from old_rows as o
          where o.job_id is not null
        ) as c
        group by c.job_id, c.org_id, c.state
        having sum(c.cards) <> 0
      ));
    else  -- TRUNCATE
      update jobsdb.job_deltas as d
      set
        cards_total = 0,
        cards_in_review = 0,
        cards_approved = 0,
        cards_rejected = 0,
        cards_done = 0,
        cards_other = 0
      where d.job_id is not null;
      for v_change in
        select j.id
        from public.jobs as j
        where j.cards_total <> 0
        order by j.id
        for no key update
      loop
        update public.jobs as j
        set
          cards_total = 0,
          cards_in_review = 0,
          cards_approved = 0,
          cards_rejected = 0,
          cards_done = 0,
          cards_other = 0,
          updated_at = now()
        where j.id = v_change.id;
      end loop;
  end case;
  return null;
end;
$$;
revoke all on function jobsdb.update_job_metrics_on_card_change()
from public, anon, authenticated, service_role;

comment on function jobsdb.update_job_metrics_on_card_change() is
'Trigger: counts linked cards in their jobs, once per statement.
Returns: null.
Errors:  none.
Source:  sql/functions/card/update_job_metrics_on_card_change.sql';
