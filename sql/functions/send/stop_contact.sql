-- bundle 5
-- What is queued for the contact is cancelled; what a worker already has is looked at again before
-- the provider is asked.
create or replace function jobsdb.stop_contact(
  job_id uuid,
  org_id uuid,
  contact_key text,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  update jobsdb.job_contacts as c
  set
    state = 'stopped',
    reason = stop_contact.reason,
    next_touch = null,
    updated_at = now()
  where c.job_id = stop_contact.job_id
    and c.org_id = stop_contact.org_id
    and c.contact_key = stop_contact.contact_key
    and c.state in ('active', 'finished');

  delete from jobsdb.due_contacts as d
  where d.job_id = stop_contact.job_id
    and d.org_id = stop_contact.org_id
    and d.contact_key = stop_contact.contact_key;

  update jobsdb.sends as s
  set state = 'cancelled', reason = stop_contact.reason, settled_at = now()
  where s.id = any(array(
    select q.id
    from jobsdb.sends as q
    where q.job_id = stop_contact.job_id
      and q.org_id = stop_contact.org_id
      and q.contact_key = stop_contact.contact_key
      and q.state = 'queued'
    order by q.id
    for no key update skip locked
  ));
end;
$$;
revoke all on function jobsdb.stop_contact(uuid, uuid, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.stop_contact(uuid, uuid, text, text) is
'Ends the sequence of a contact: no further touch is planned, what is queued is cancelled.
Returns: nothing.
Errors:  none.
Source:  sql/functions/send/stop_contact.sql';
