-- bundle 1
-- Review is the default: only a plain false switches it off.
create or replace function jobsdb.reviews_cards(
  params jsonb
)
returns boolean
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  return (reviews_cards.params -> 'review_mode') is distinct from 'false'::jsonb;
end;
$$;
revoke all on function jobsdb.reviews_cards(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.reviews_cards(jsonb) is
'Says whether a job with these params is in review mode: review_mode is absent or true.
Returns: true or false.
Errors:  none.
Source:  sql/functions/job/reviews_cards.sql';
