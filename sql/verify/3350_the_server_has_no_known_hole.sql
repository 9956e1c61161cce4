-- 3350 The server has no known hole.
-- so: whoever can send SQL runs code of his own as the server (CVE-2026-6460; in older ones any
--     user, CVE-2026-14680), or reads what row-level security hides (CVE-2025-8713)
-- level: warning
--
-- Two statements are enough for the first, with a temporary table. The embedded server, which only
-- its owner can reach, is let off.
select
  'PostgreSQL' as object,
  format('%s.%s', f.major, f.minor) as missing,
  format('%s.%s', f.major, ($1 ->> 'server')::int % 10000) as extra,
  'Install the newest minor release of this major version; it needs no dump.' as fix
from (values (15, 20), (16, 16), (17, 12), (18, 7)) as f (major, minor)
where
  f.major = ($1 ->> 'server')::int / 10000
  and f.minor > ($1 ->> 'server')::int % 10000
  and ($1 ->> 'reachable')::boolean;
