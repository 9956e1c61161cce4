-- 6250 Settings of sessions do no harm.
-- so: what works elsewhere fails or waits here
--
-- reset_val is what a new session of this caller begins with; the second part is what the roles of
-- agents and of the gateway begin with.
with wanted (name, good, trouble) as (
  values
  (
    'default_transaction_isolation', 'read committed',
    'agents that finish at the same time fail with "could not serialize access"'
  ),
  ('default_transaction_read_only', 'off', 'nothing can be changed'),
  ('session_replication_role', 'origin', 'no guard fires: rows are changed unchecked'),
  ('row_security', 'on', 'tenants get errors instead of their rows'),
  ('statement_timeout', '0', 'tick() and refresh_job_metrics() may be cut off')
),

found (role_name, in_database, name, setting) as (
  select
    session_user,
    true,
    s.name,
    s.reset_val
  from pg_settings as s
  union all
  select
    r.rolname,
    c.setdatabase <> 0,
    split_part(e.entry, '=', 1),
    substr(e.entry, strpos(e.entry, '=') + 1)
  from pg_db_role_setting as c
  inner join pg_roles as r on c.setrole = r.oid
  cross join unnest(c.setconfig) as e (entry)
  where
    r.rolname in ('authenticator', 'service_role')
    and r.rolname <> session_user
    and (
      c.setdatabase = 0
      or c.setdatabase = (select d.oid from pg_database as d where d.datname = current_database())
    )
)

select
  case
    when w.name in ('default_transaction_read_only', 'session_replication_role') then 'bad'
    else 'warn'
  end as state,
  format('%s of %s is %s: %s', w.name, f.role_name, f.setting, w.trouble) as sentence,
  format(
    '%salter role %I%s set %s = %L;',
    case
      when w.name = 'default_transaction_read_only' then 'set default_transaction_read_only = off; '
    end,
    f.role_name,
    case when f.in_database then format(' in database %I', current_database()) else '' end,
    w.name,
    w.good
  ) as remedy
from wanted as w
inner join found as f on w.name = f.name
where
  f.setting <> w.good
  and case
    -- Without a unit it is milliseconds.
    when w.name <> 'statement_timeout' then true
    when f.setting ~ '^\d+$' then f.setting::int < 5000
    else f.setting::interval < interval '5 seconds'
  end
order by w.name, f.role_name;
