-- bundle 5
-- Days count from the first e-mail that really went out, so a slow review delays only those people.
create or replace function jobsdb.advance_contact(
  job_id uuid,
  org_id uuid,
  contact_key text,
  touch text,
  sent_at timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_touch int := case
    when advance_contact.touch ~ '^[0-9]{1,9}$' then advance_contact.touch::int
  end;
  v_first_day int;
  v_next record;
  v_anchor_at timestamptz;
begin
  if v_touch is null then
    return;  -- a card outside the sequence
  end if;
  select min(t.day)
  into v_first_day
  from public.jobs as j
  cross join lateral jobsdb.touches(j.params) as t
  where j.id = advance_contact.job_id and j.org_id = advance_contact.org_id;
  select t.touch, t.day
  into v_next
  from public.jobs as j
  cross join lateral jobsdb.touches(j.params) as t
  where j.id = advance_contact.job_id
    and j.org_id = advance_contact.org_id
    and t.touch > v_touch
  order by t.touch
  limit 1;

  update jobsdb.job_contacts as c
  set
    anchor_at = coalesce(c.anchor_at, advance_contact.sent_at),
    state = case when v_next.touch is null then 'finished' else 'active' end,
    next_touch = v_next.touch,
    updated_at = now()
  where c.job_id = advance_contact.job_id
    and c.org_id = advance_contact.org_id
    and c.contact_key = advance_contact.contact_key
    and c.state = 'active'
    and c.next_touch = v_touch
  returning c.anchor_at
  into v_anchor_at;
  if v_anchor_at is not null and v_next.touch is not null then
    insert into jobsdb.due_contacts as d (job_id, org_id, contact_key, due_at)
    values (
      advance_contact.job_id,
      advance_contact.org_id,
      advance_contact.contact_key,
      v_anchor_at + make_interval(days => v_next.day - v_first_day)
    )
    on conflict on constraint due_contacts_pkey do update
    set due_at = excluded.due_at;
  end if;
end;
$$;
revoke all on function jobsdb.advance_contact(uuid, uuid, text, text, timestamptz)
from public, anon, authenticated, service_role;

comment on function jobsdb.advance_contact(uuid, uuid, text, text, timestamptz) is
'Says when the next touch of a contact may be planned, after one was sent; without another one the contact is finished.
Returns: nothing.
Errors:  none.
Source:  sql/functions/send/advance_contact.sql';
