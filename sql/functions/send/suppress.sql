-- bundle 5
create or replace function jobsdb.suppress(
  org_id uuid,
  scope text,
  value text,
  reason text,
  expires_at timestamptz default null
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if (
    suppress.scope in ('address', 'domain', 'hash')
    and btrim(suppress.value) <> ''
    and suppress.org_id is not null
    and suppress.reason <> ''
  ) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'this suppression cannot be kept',
      detail = format(
        'It was %s %s because of %s.',
        coalesce(suppress.scope, 'null'),
        left(coalesce(suppress.value, 'null'), 300),
        left(coalesce(suppress.reason, 'null'), 300)
      ),
      hint = 'Scope is address, domain or hash; value and reason are not empty.';
  end if;
  -- One that is for good is never shortened.
  insert into jobsdb.suppressions as s (org_id, scope, value, reason, expires_at)
  values (
    suppress.org_id,
    suppress.scope,
    lower(btrim(suppress.value)),
    left(suppress.reason, 300),
    suppress.expires_at
  )
  on conflict on constraint suppressions_org_id_scope_value_key do update
  set
    reason = excluded.reason,
    expires_at = case
      when s.expires_at is null or excluded.expires_at is null then null
      else greatest(s.expires_at, excluded.expires_at)
    end
  where s.expires_at is not null;
end;
$$;
revoke all on function jobsdb.suppress(uuid, text, text, text, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.suppress(uuid, text, text, text, timestamptz) to service_role;

comment on function jobsdb.suppress(uuid, text, text, text, timestamptz) is
'Keeps an organisation from writing to an address or a domain. Service role only.
Units:   org_id 00000000-0000-0000-0000-000000000000 is everybody; expires_at null: for good. A longer suppression is never shortened.
Returns: nothing.
Errors:  JB011 bad argument.
Source:  sql/functions/send/suppress.sql';
