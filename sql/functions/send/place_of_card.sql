-- bundle 5
-- An agent may say in the content whom a card is for (contact_id); else the address tells, among
-- the contacts of the job. What fits nobody is a touch of its own: the address and the card.
create or replace function jobsdb.place_of_card(
  card jsonb,
  out contact_key text,
  out touch text
)
returns record
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_job_id uuid := (place_of_card.card ->> 'job_id')::uuid;
  v_org_id uuid := (place_of_card.card ->> 'org_id')::uuid;
  v_address text := lower(btrim(place_of_card.card #>> '{content,to}'));
begin
  select c.contact_key
  into place_of_card.contact_key
  from jobsdb.job_contacts as c
  where c.job_id = v_job_id
    and c.org_id = v_org_id
    and c.state <> 'excluded'
    and (c.contact_key = place_of_card.card #>> '{content,contact_id}' or c.address = v_address)
  order by (c.contact_key = place_of_card.card #>> '{content,contact_id}') is not true
  limit 1;
  select t.input ->> 'touch'
  into place_of_card.touch
  from public.job_tasks as t
  where t.id = (place_of_card.card ->> 'task_id')::bigint and t.org_id = v_org_id;

  if place_of_card.contact_key is null or place_of_card.touch is null then
    place_of_card.contact_key := coalesce(place_of_card.contact_key, v_address);
    place_of_card.touch := format('card:%s', place_of_card.card ->> 'id');
  end if;
end;
$$;
revoke all on function jobsdb.place_of_card(jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.place_of_card(jsonb) is
'Says which contact and which touch of a job an e-mail card is for.
Units:   card is to_jsonb() of the row.
Returns: contact_key and touch; outside the sequence the address and card:ID.
Errors:  none.
Source:  sql/functions/send/place_of_card.sql';
