-- bundle 5
create or replace function jobsdb.limit_sends(
  org_id uuid,
  max_sends int,
  per interval,
  scope text default 'org',
  value text default '*'
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if limit_sends.max_sends is null then
    delete from jobsdb.rate_limits as r
    where r.org_id = limit_sends.org_id
      and r.scope = limit_sends.scope
      and r.value = lower(limit_sends.value);
    return;
  end if;
  if (
    limit_sends.scope in ('org', 'mailbox', 'domain')
    and limit_sends.max_sends >= 0
    and limit_sends.per > '0'
    and limit_sends.value <> ''
    and (limit_sends.scope <> 'org' or limit_sends.value = '*')
    and limit_sends.org_id is not null
  ) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'this limit cannot be kept',
      detail = format(
        'It was %s sends per %s for %s %s.',
        limit_sends.max_sends,
        coalesce(limit_sends.per::text, 'null'),
        coalesce(limit_sends.scope, 'null'),
        coalesce(limit_sends.value, 'null')
      ),
      hint = 'Scope is org, mailbox or domain; value names one, or * for each of them, as always with org.';
  end if;
  insert into jobsdb.rate_limits as r (org_id, scope, value, max_sends, per)
  values (
    limit_sends.org_id,
    limit_sends.scope,
    lower(limit_sends.value),
    limit_sends.max_sends,
    limit_sends.per
  )
  on conflict on constraint rate_limits_pkey do update
  set max_sends = excluded.max_sends, per = excluded.per;
end;
$$;
revoke all on function jobsdb.limit_sends(uuid, int, interval, text, text)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.limit_sends(uuid, int, interval, text, text) to service_role;

comment on function jobsdb.limit_sends(uuid, int, interval, text, text) is
'Sets how many e-mails an organisation may send in any period of a length: all together, from a mailbox or to a domain. Service role only.
Units:   max_sends null takes the limit away; value * is each mailbox or domain by itself.
Returns: nothing.
Errors:  JB011 a limit that cannot be kept.
Source:  sql/functions/send/limit_sends.sql';
