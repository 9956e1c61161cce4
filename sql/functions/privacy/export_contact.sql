-- bundle 5
create or replace function jobsdb.export_contact(
  org_id uuid,
  contact_key text
)
returns jsonb
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if not jobsdb.may_see(export_contact.org_id) then
    return null;
  end if;
  return jsonb_build_object(
    'contact', (
      select to_jsonb(c) - 'org_id'
      from jobsdb.contacts as c
      where c.org_id = export_contact.org_id and c.contact_key = export_contact.contact_key
    ),
    'jobs', coalesce(
      (
        select jsonb_agg(
          to_jsonb(c) - 'org_id' || jsonb_build_object('job_name', j.name) order by c.job_id
        )
        from jobsdb.job_contacts as c
        inner join public.jobs as j on j.id = c.job_id and j.org_id = c.org_id
        where c.org_id = export_contact.org_id and c.contact_key = export_contact.contact_key
      ),
      '[]'
    ),
    'sends', coalesce(
      (
        select jsonb_agg(
          to_jsonb(s) - '{org_id,lease_token,lease_expires_at,locked_by,idempotency_key}'::text[]
          || jsonb_build_object('events', coalesce(
            (
              select jsonb_agg(to_jsonb(e) - '{org_id,send_id}'::text[] order by e.id)
              from jobsdb.send_events as e
              where e.send_id = s.id and e.org_id = s.org_id
            ),
            '[]'
          ))
          order by s.id
        )
        from jobsdb.sends as s
        where s.org_id = export_contact.org_id and s.contact_key = export_contact.contact_key
      ),
      '[]'
    )
  );
end;
$$;
revoke all on function jobsdb.export_contact(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.export_contact(uuid, text) to authenticated, service_role;

comment on function jobsdb.export_contact(uuid, text) is
'Body of public.export_contact.
Source:  sql/functions/privacy/export_contact.sql';

create or replace function public.export_contact(
  org_id uuid,
  contact_key text
)
returns jsonb
language sql
stable
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select jobsdb.export_contact(export_contact.org_id, export_contact.contact_key);
end;
revoke all on function public.export_contact(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.export_contact(uuid, text) to authenticated, service_role;

comment on function public.export_contact(uuid, text) is
'Everything jobsdb knows about a contact of an organisation.
Returns: {"contact": …, "jobs": […], "sends": [… with "events"]}; null for a foreign organisation.
Errors:  none.
Source:  sql/functions/privacy/export_contact.sql';
