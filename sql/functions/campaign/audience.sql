-- bundle 4
-- Everybody who matches, with the first reason that keeps somebody out: what enrolment freezes and
-- what a dry run shows.
create or replace function jobsdb.audience(
  org_id uuid,
  params jsonb
)
returns table (contact_key text, email text, attributes jsonb, time_zone text, reason text)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
as $$
declare
  v_group jsonb := audience.params -> 'target_group';
  v_groups text[] := case jsonb_typeof(v_group)
    when 'string' then array[v_group #>> '{}']
    when 'array' then array(select g.name from jsonb_array_elements_text(v_group) as g (name))
  end;
  v_filter jsonb := audience.params -> 'target_filter';
  v_has_any boolean;
  v_has_hashes boolean;
  v_needed text[] := case
    when audience.params ->> 'on_missing' = 'exclude'
      then jobsdb.needed_variables(audience.params)
    else '{}'
  end;
begin
  select count(*) > 0, coalesce(bool_or(s.scope = 'hash'), false)
  into v_has_any, v_has_hashes
  from (
    select distinct q.scope
    from jobsdb.suppressions as q
    where q.org_id in (audience.org_id, '00000000-0000-0000-0000-000000000000')
  ) as s;
  if v_groups is null and v_filter is null then
    return;
  end if;

  return query
  with found as materialized (
    -- A view of the host's may show a contact more than once.
    select distinct on (c.contact_key)
      c.contact_key, c.email, c.attributes, c.time_zone, lower(btrim(c.email)) as address
    from jobsdb.contacts_of(audience.org_id, v_groups, v_filter) as c
    order by c.contact_key, c.email
  ),
  suppressed as (
    select distinct f.contact_key
    from found as f
    cross join lateral (
      values
      ('address', f.address),
      ('domain', split_part(f.address, '@', 2)),
      (
        'hash', case when v_has_hashes then jobsdb.address_hash(audience.org_id, f.address) end
      ),
      (
        'hash',
        case
          when v_has_hashes
            then jobsdb.address_hash('00000000-0000-0000-0000-000000000000', f.address)
        end
      )
    ) as v (scope, value)
    inner join jobsdb.suppressions as s on s.scope = v.scope and s.value = v.value
    where v_has_any
      and s.org_id in (audience.org_id, '00000000-0000-0000-0000-000000000000')
      and (s.expires_at is null or s.expires_at > now())
  ),
  -- Materialized, so that each zone is looked up once and not once a contact.
  named_zones as materialized (
    select distinct f.time_zone from found as f where f.time_zone is not null
  ),
  zones as (
    select n.time_zone from named_zones as n where jobsdb.is_time_zone(n.time_zone)
  ),
  judged as (
    select
      f.*,
      z.time_zone as known_zone,
      case
        when coalesce(f.address, '') = '' then 'no_address'
        when not jobsdb.is_address(f.address) then 'bad_address'
        when s.contact_key is not null then 'suppressed'
        when v_needed <> '{}' and exists (
          select from unnest(v_needed) as n (name)
          where coalesce(
            jobsdb.variables_of(
              audience.params, f.attributes, f.contact_key, f.email
            ) ->> n.name,
            ''
          ) = ''
        ) then 'missing_variable'
      end as reason
    from found as f
    left join suppressed as s on s.contact_key = f.contact_key
    left join zones as z on z.time_zone = f.time_zone
  )
  select
    j.contact_key,
    j.email,
    j.attributes,
    j.known_zone,
    case
      when j.reason is null and row_number() over (
        partition by j.address, j.reason is null order by j.contact_key collate "C"
      ) > 1 then 'duplicate_address'
      else j.reason
    end
  from judged as j;
end;
$$;
revoke all on function jobsdb.audience(uuid, jsonb) from public, anon, authenticated, service_role;

comment on function jobsdb.audience(uuid, jsonb) is
'Finds everybody a campaign addresses: members of params.target_group whose attributes contain params.target_filter. Of several with the same address, of which nothing else keeps out, the first by key counts.
Returns: a row a contact; reason null: in, else no_address, bad_address, duplicate_address, suppressed or missing_variable (only with on_missing exclude).
Errors:  those of the host''s relation of contacts.
Source:  sql/functions/campaign/audience.sql';
