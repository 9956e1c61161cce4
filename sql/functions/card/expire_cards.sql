-- bundle 4
-- Nobody has decided in time: that fails closed, and says so. A card its host holds on to keeps no
-- other waiting.
create or replace function jobsdb.expire_cards(
  max_cards int default 1000
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_late record;
  v_id public.kanban_cards.id%type;
  v_expired int := 0;
begin
  for v_late in
    select w.card_id
    from public.jobs as j
    inner join jobsdb.waiting_cards as w on w.job_id = j.id and w.org_id = j.org_id
    where j.status in ('pending', 'running')
      and j.params ? 'review_ttl'
      and w.since < now() - make_interval(secs => (j.params ->> 'review_ttl')::float8 * 3600)
    order by w.card_id
    limit expire_cards.max_cards
  loop
    v_id := v_late.card_id;
    perform from public.kanban_cards as c where c.id = v_id for no key update skip locked;
    continue when not found;
    begin
      perform set_config('jobsdb.review_comment', 'expired', true);
      perform set_config('jobsdb.expiring', 'on', true);
      update public.kanban_cards as c
      set state = 'rejected'
      where c.id = v_id and jobsdb.card_state(to_jsonb(c.*)) = 'in_review';
      v_expired := v_expired + found::int;
      perform set_config('jobsdb.review_comment', '', true);
      perform set_config('jobsdb.expiring', '', true);
    exception
      when others then
        if jobsdb.is_passing(sqlstate) then
          raise;
        end if;
        raise warning 'card "%" cannot expire: %', v_id, sqlerrm;
    end;
  end loop;
  return v_expired;
end;
$$;
revoke all on function jobsdb.expire_cards(int) from public, anon, authenticated, service_role;

comment on function jobsdb.expire_cards(int) is
'Rejects cards that have waited for a person longer than params.review_ttl hours, with the comment expired; their contacts'' sequences end.
Returns: number of cards.
Errors:  none.
Source:  sql/functions/card/expire_cards.sql';
