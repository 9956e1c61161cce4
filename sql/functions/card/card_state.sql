-- bundle 2
create or replace function jobsdb.card_state(
  card jsonb
)
returns text
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return case
    when card_state.card ->> 'state' in ('approved', 'rejected', 'done')
      then card_state.card ->> 'state'
    else 'in_review'
  end;
end;
$$;
revoke all on function jobsdb.card_state(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.card_state(jsonb) is
'State of a card as jobsdb counts it: a word only the host knows is in_review.
Units:   card is to_jsonb() of the row.
Returns: in_review, approved, rejected or done.
Errors:  none.
Source:  sql/functions/card/card_state.sql';
