-- bundle 4
-- With content it is an approval of other words than were shown: the update says so, and the guard
-- takes the new content's hash.
create or replace function public.review_card(
  card_id text,
  decision text,
  reviewer uuid default null,
  expected_hash text default null,
  content jsonb default null,
  comment text default null
)
returns text
language plpgsql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id public.kanban_cards.id%type;
  v_hash text := review_card.expected_hash;
  v_outcome text;
begin
  begin
    v_id := review_card.card_id;
  exception
    when data_exception or integrity_constraint_violation then
      v_id := null;
  end;
  perform from public.kanban_cards as c where c.id = v_id for no key update;
  if v_hash is null or review_card.content is not null then
    select q.content_hash
    into v_hash
    from public.review_queue as q
    where q.card_id = v_id::text
      and (review_card.expected_hash is null or q.content_hash = review_card.expected_hash);
  end if;

  if review_card.content is not null then
    if (review_card.decision = 'approve') is not true then
      raise exception using
        errcode = 'JB011',
        message = 'only an approval can change the content',
        detail = format('The decision was %s.', coalesce(review_card.decision, 'null')),
        hint = 'Use approve, or leave content away.';
    end if;
    if v_hash is not null then
      update public.kanban_cards as c
      set content = review_card.content
      where c.id = v_id;
      select q.content_hash
      into v_hash
      from public.review_queue as q
      where q.card_id = v_id::text;
      perform set_config('jobsdb.edited', v_id::text, true);
    end if;
  end if;

  select r.outcome
  into v_outcome
  from public.review_cards(
    array[review_card.card_id],
    array[coalesce(v_hash, review_card.expected_hash, '')],
    review_card.decision,
    review_card.reviewer,
    review_card.comment
  ) as r;
  return v_outcome;
end;
$$;
revoke all on function public.review_card(text, text, uuid, text, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function public.review_card(text, text, uuid, text, jsonb, text)
to authenticated, service_role;

comment on function public.review_card(text, text, uuid, text, jsonb, text) is
'Decides on one card: review_cards for one, which may also approve it with an edit.
Units:   expected_hash null: whatever it is now; content: approve this instead of what was shown.
Returns: as review_cards.
Errors:  as review_cards; JB011 content without an approval.
Source:  sql/functions/card/review_card.sql';
