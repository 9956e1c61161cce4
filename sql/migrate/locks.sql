-- What this transaction has locked so far, and when that was looked at. Sent between the files of a
-- rehearsal. AccessShareLock, which every reader takes, is left out: it keeps only DDL waiting.
select
  extract(epoch from pg_catalog.clock_timestamp())::text as jobsdb_at,
  coalesce(pg_catalog.string_agg(l.relation::text || ' ' || l.mode, ','), '') as jobsdb_locks
from pg_catalog.pg_locks as l
inner join pg_catalog.pg_database as d on l.database = d.oid
where
  l.locktype = 'relation'
  and l.pid = pg_catalog.pg_backend_pid()
  and l.granted
  and l.mode <> 'AccessShareLock'
  and d.datname = pg_catalog.current_database();
