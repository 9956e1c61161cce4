-- bundle 4
create or replace function jobsdb.queue_card(
  card_id text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_card jsonb := jobsdb.card_of(queue_card.card_id);
  v_since timestamptz;
begin
  if v_card ->> 'job_id' is not null and jobsdb.card_state(v_card) = 'in_review' then
    insert into jobsdb.waiting_cards as w (org_id, job_id, card_id)
    values (
      (v_card ->> 'org_id')::uuid, (v_card ->> 'job_id')::uuid, queue_card.card_id
    )
    on conflict on constraint waiting_cards_card_id_key do update
    set org_id = excluded.org_id, job_id = excluded.job_id
    where (w.org_id, w.job_id) <> (excluded.org_id, excluded.job_id);
  else
    delete from jobsdb.waiting_cards as w
    where w.card_id = queue_card.card_id
    returning w.since
    into v_since;
    update jobsdb.card_reviews as r
    set waiting_since = v_since
    where r.id = (
      select max(d.id) from jobsdb.card_reviews as d where d.card_id = queue_card.card_id
    )
    and r.decision in ('approved', 'rejected')
    and r.decided_at >= v_since;
  end if;
end;
$$;
revoke all on function jobsdb.queue_card(text) from public, anon, authenticated, service_role;

comment on function jobsdb.queue_card(text) is
'Puts a card into the review queue, or takes it out, as its row is now.
Returns: nothing.
Errors:  none.
Source:  sql/functions/card/queue_card.sql';
