-- What every check is told about the database, as $1: one jsonb value, built from the catalog
-- alone so that the right to connect is enough. verify adds `ours` (the names jobsdb has in schema
-- public), `facts` (what is expected, as [object, definition] pairs) and `again` (how to apply
-- everything anew).
--
-- A host's own kanban_cards and agent_runs are its business. `adopted` matches their names and all
-- that belongs to them; `host` leaves out what jobsdb has added: the links, and whatever begins
-- with jobsdb_. A server that listens on no network, and whose socket is its owner's alone, is not
-- `reachable` for anybody else.
with adopted as (
  select c.relname
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    n.nspname = 'public'
    and c.relname in ('kanban_cards', 'agent_runs')
    and c.relkind in ('r', 'p')
    and coalesce(obj_description(c.oid, 'pg_class'), '') not like '%Made by jobsdb%'
)

select jsonb_build_object(
  'installed', exists (select from pg_catalog.pg_namespace as n where n.nspname = 'jobsdb'),
  'server', current_setting('server_version_num')::int,
  'reachable', (
    current_setting('listen_addresses') <> ''
    or current_setting('unix_socket_permissions') <> '0700'
  ),
  'adopted', (
    select coalesce('^public\.(' || string_agg(a.relname, '|') || ')(\.|$)', '^$')
    from adopted as a
  ),
  'host', (
    select
      coalesce(
        '^('
        || string_agg(
          format(
            'public\.%s(\.(?!(jobsdb_(?!t25_stamp_).*|job_id%s)$).*)?',
            a.relname,
            case a.relname when 'kanban_cards' then '|task_id' end
          ),
          '|'
        )
        || ')$',
        '^$'
      )
    from adopted as a
  )
) as context;
