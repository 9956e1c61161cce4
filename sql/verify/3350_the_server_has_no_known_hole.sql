-- 3350 The server has no known hole.
-- so: whoever can send SQL gets at the server's memory (CVE-2026-6473), or in older ones reads,
--     through planner statistics, what row-level security hides (CVE-2025-8713)
-- level: warning
select
  'PostgreSQL' as object,
  format('%s.%s', f.major, f.minor) as missing,
  format('%s.%s', f.major, ($1 ->> 'server')::int % 10000) as extra,
  'Install the newest minor release of this major version; it needs no dump.' as fix
from (values (15, 18), (16, 14), (17, 10), (18, 4)) as f (major, minor)
where
  f.major = ($1 ->> 'server')::int / 10000
  and f.minor > ($1 ->> 'server')::int % 10000;
