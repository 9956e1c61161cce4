-- bundle 1
create or replace function jobsdb.limit_work(
  org_id uuid,
  kind text default '*',
  max_running int default null,
  max_starts int default null,
  per interval default null
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if limit_work.org_id is null
    or limit_work.kind is null
    or limit_work.max_running < 0
    or limit_work.max_starts < 0
    or limit_work.per <= '0'
    or (limit_work.max_starts is null) <> (limit_work.per is null)
    or (
      limit_work.kind <> '*'
      and not exists (select from jobsdb.task_kinds as k where k.kind = limit_work.kind)
    ) then
    raise exception using
      errcode = 'JB011',
      message = 'this is no limit of work',
      detail = format(
        'org_id %s, kind %s, max_running %s, max_starts %s, per %s.',
        coalesce(limit_work.org_id::text, 'null'),
        coalesce(left(limit_work.kind, 100), 'null'),
        coalesce(limit_work.max_running::text, 'null'),
        coalesce(limit_work.max_starts::text, 'null'),
        coalesce(limit_work.per::text, 'null')
      ),
      hint = 'Name an organisation, a kind of jobsdb.task_kinds or *, and max_running, or max_starts'
        || ' together with per, or nothing to lift the limit.';
  end if;

  delete from jobsdb.work_limits as l
  where l.org_id = limit_work.org_id
    and l.kind = limit_work.kind
    and limit_work.max_running is null
    and limit_work.max_starts is null;

  insert into jobsdb.work_limits as l (org_id, kind, max_running, max_starts, per)
  select
    limit_work.org_id,
    limit_work.kind,
    limit_work.max_running,
    limit_work.max_starts,
    limit_work.per
  where limit_work.max_running is not null or limit_work.max_starts is not null
  on conflict on constraint work_limits_pkey do update
  set
    max_running = excluded.max_running,
    max_starts = excluded.max_starts,
    per = excluded.per;
  perform jobsdb.mark_limited_jobs();
end;
$$;
revoke all on function jobsdb.limit_work(uuid, text, int, int, interval)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.limit_work(uuid, text, int, int, interval) to service_role;

comment on function jobsdb.limit_work(uuid, text, int, int, interval) is
'Limits how much work of an organisation is done at once and per window. Service role only.
Units:   kind * limits all kinds together; max_running in tasks at once, max_starts in tasks claimed per window of the length per; without both the limit is lifted.
Returns: nothing.
Errors:  JB011 bad limit.
Source:  sql/functions/work/limit_work.sql';
