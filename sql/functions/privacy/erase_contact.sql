-- bundle 5
-- The ledger keeps its rows, so that every count stays true; what says who it was goes. A salted
-- hash of the address stays, so that another import does not write to it again.
create or replace function jobsdb.erase_contact(
  org_id uuid,
  contact_key text
)
returns jsonb
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_addresses text[];
  v_is_ours boolean := (
    select h.made_by_jobsdb from jobsdb.host_tables as h where h.table_name = 'kanban_cards'
  );
  v_cards text[];
  v_id public.kanban_cards.id%type;
  v_card_id text;
  v_sends int;
  v_jobs int;
begin
  perform jobsdb.check_org(erase_contact.org_id);

  v_addresses := array(
    select distinct lower(a.email)
    from (
      select c.email
      from jobsdb.contacts as c
      where c.org_id = erase_contact.org_id and c.contact_key = erase_contact.contact_key
      union all
      select c.email
      from jobsdb.job_contacts as c
      where c.org_id = erase_contact.org_id and c.contact_key = erase_contact.contact_key
      union all
      select s.recipient
      from jobsdb.sends as s
      where s.org_id = erase_contact.org_id and s.contact_key = erase_contact.contact_key
      union all
      select h.email
      from jobsdb.contacts_of(erase_contact.org_id, null, null) as h
      where h.contact_key = erase_contact.contact_key
        and exists (select from jobsdb.contact_source as s)
    ) as a
    where a.email like '%@%'
  );
  -- A send that is being asked of the provider is left: its answer is needed.
  v_cards := array(
    select distinct s.card_id
    from jobsdb.sends as s
    where s.org_id = erase_contact.org_id and s.contact_key = erase_contact.contact_key
    union
    select to_jsonb(k.*) ->> 'id'
    from jobsdb.job_contacts as c
    inner join public.kanban_cards as k on k.job_id = c.job_id and k.org_id = c.org_id
    where c.org_id = erase_contact.org_id
      and c.contact_key = erase_contact.contact_key
      and (
        to_jsonb(k.*) #>> '{content,contact_id}' = c.contact_key
        or lower(to_jsonb(k.*) #>> '{content,to}') = lower(c.email)
      )
    order by 1
  );

  foreach v_card_id in array v_cards loop
    v_id := v_card_id;
    perform set_config('jobsdb.review_comment', 'erased', true);
    update public.kanban_cards as k
    set state = 'rejected'
    where k.id = v_id
      and k.org_id = erase_contact.org_id
      and jobsdb.card_state(to_jsonb(k.*)) in ('in_review', 'approved')
      and not exists (
        select from jobsdb.sends as s
        where s.card_id = v_card_id and s.state in ('leased', 'dispatching', 'unknown')
      );
    if v_is_ours then
      update public.kanban_cards as k
      set title = 'erased', content = '{"erased": true}'
      where k.id = v_id
        and k.org_id = erase_contact.org_id
        and jobsdb.card_state(to_jsonb(k.*)) in ('rejected', 'done');
    end if;
    perform set_config('jobsdb.review_comment', '', true);
  end loop;

  update jobsdb.sends as s
  set
    state = case s.state when 'queued' then 'cancelled' else s.state end,
    reason = case s.state when 'queued' then 'erased' else s.reason end,
    settled_at = case s.state when 'queued' then now() else s.settled_at end,
    recipient = 'erased',
    domain = 'erased',
    subject = null,
    body = null
  where s.org_id = erase_contact.org_id
    and s.contact_key = erase_contact.contact_key
    and s.state not in ('leased', 'dispatching', 'unknown');
  get diagnostics v_sends = row_count;
  update jobsdb.send_events as e
  set detail = '{}'
  from jobsdb.sends as s
  where s.id = e.send_id
    and s.org_id = e.org_id
    and s.org_id = erase_contact.org_id
    and s.contact_key = erase_contact.contact_key;

  update jobsdb.job_contacts as c
  set
    email = null,
    address = null,
    attributes = '{}',
    time_zone = null,
    state = case c.state when 'excluded' then c.state else 'stopped' end,
    reason = case c.state when 'excluded' then c.reason else 'erased' end,
    next_touch = null,
    updated_at = now()
  where c.org_id = erase_contact.org_id and c.contact_key = erase_contact.contact_key;
  get diagnostics v_jobs = row_count;
  perform jobsdb.refreeze_job(c.job_id)
  from jobsdb.job_contacts as c
  where c.org_id = erase_contact.org_id and c.contact_key = erase_contact.contact_key;
  delete from jobsdb.due_contacts as d
  where d.org_id = erase_contact.org_id and d.contact_key = erase_contact.contact_key;
  delete from jobsdb.contacts as c
  where c.org_id = erase_contact.org_id and c.contact_key = erase_contact.contact_key;
  perform jobsdb.suppress(
    erase_contact.org_id, 'hash', jobsdb.address_hash(erase_contact.org_id, a.address), 'erased'
  )
  from unnest(v_addresses) as a (address);
  delete from jobsdb.suppressions as s
  where s.org_id = erase_contact.org_id and s.scope = 'address' and s.value = any(v_addresses);

  return jsonb_build_object(
    'addresses', cardinality(v_addresses),
    'jobs', v_jobs,
    'sends', v_sends,
    'cards', cardinality(v_cards),
    'cards_of_the_host', case when v_is_ours then '[]' else to_jsonb(v_cards) end,
    'in_flight', (
      select count(*)
      from jobsdb.sends as s
      where s.org_id = erase_contact.org_id
        and s.contact_key = erase_contact.contact_key
        and s.state in ('leased', 'dispatching', 'unknown')
    )
  );
end;
$$;
revoke all on function jobsdb.erase_contact(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.erase_contact(uuid, text) to authenticated, service_role;

comment on function jobsdb.erase_contact(uuid, text) is
'Body of public.erase_contact.
Source:  sql/functions/privacy/erase_contact.sql';

create or replace function public.erase_contact(
  org_id uuid,
  contact_key text
)
returns jsonb
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select jobsdb.erase_contact(erase_contact.org_id, erase_contact.contact_key);
end;
revoke all on function public.erase_contact(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.erase_contact(uuid, text) to authenticated, service_role;

comment on function public.erase_contact(uuid, text) is
'Forgets a contact: address, attributes, what was written. The rows of the ledger stay, so every count stays true, and a salted hash of the address, so that it is never written to again. The host''s own contacts and cards are the host''s to erase.
Returns: {"addresses", "jobs", "sends", "cards": how many, "cards_of_the_host": ids that were left, "in_flight": sends whose answer is awaited; call again later}.
Errors:  JB020 the organisation is not yours.
Source:  sql/functions/privacy/erase_contact.sql';
