-- Why the current role could not deploy here: SQLSTATE, sentence, facts, and the statement that
-- mends it. No row: nothing is known to stand in the way. Reads the catalog, locks nothing.
with me as (
  select
    r.rolname,
    r.rolsuper or r.rolcreaterole as makes_roles
  from pg_catalog.pg_roles as r
  where r.rolname = current_user
),

owned (object, owner_name) as (
  select
    format('schema %s', n.nspname),
    pg_catalog.pg_get_userbyid(n.nspowner)
  from pg_catalog.pg_namespace as n
  where n.nspname = 'jobsdb' and not pg_catalog.pg_has_role(n.nspowner, 'usage')
  union all
  select
    format('%s.%s', n.nspname, c.relname),
    pg_catalog.pg_get_userbyid(c.relowner)
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    exists (select from pg_catalog.pg_namespace as j where j.nspname = 'jobsdb')
    and (
      (n.nspname = 'jobsdb' and c.relname = 'ledger')
      or (n.nspname = 'public' and c.relname in ('jobs', 'job_tasks'))
    )
    and c.relkind = 'r'
    and not pg_catalog.pg_has_role(c.relowner, 'usage')
),

problems (place, state, sentence, detail, fix) as (
  select
    0,
    'JB090',
    'jobsdb needs a database whose encoding is UTF8',
    format('the encoding of %I is %s', current_database(), pg_catalog.getdatabaseencoding()),
    'create database ... template template0 encoding ''UTF8'';'
  where pg_catalog.getdatabaseencoding() <> 'UTF8'
  union all
  select
    1,
    '42501',
    format('%I may not create a schema in this database', m.rolname),
    'schema jobsdb does not exist yet',
    format('grant create on database %I to %I;', current_database(), m.rolname)
  from me as m
  where
    not exists (select from pg_catalog.pg_namespace as n where n.nspname = 'jobsdb')
    and not pg_catalog.has_database_privilege(current_database(), 'create')
  union all
  select
    2,
    '42501',
    format('%I may not create objects in schema public', m.rolname),
    format('the schema belongs to %I', pg_catalog.pg_get_userbyid(n.nspowner)),
    format('grant create on schema public to %I;', m.rolname)
  from me as m
  inner join pg_catalog.pg_namespace as n on n.nspname = 'public'
  where not pg_catalog.has_schema_privilege(n.oid, 'create')
  union all
  select
    3,
    '42501',
    format('%I may not create roles, and some are missing', m.rolname),
    format('missing: %s', string_agg(w.name, ', ' order by w.name)),
    string_agg(format('create role %I nologin;', w.name), ' ' order by w.name)
  from me as m
  cross join (values ('anon'), ('authenticated'), ('service_role')) as w (name)
  where
    not m.makes_roles
    and not exists (select from pg_catalog.pg_roles as r where r.rolname = w.name)
  group by m.rolname
  union all
  select
    4,
    '42501',
    format('jobsdb belongs to %I here, and %I is not a member', o.owner_name, m.rolname),
    format('owned by %I: %s', o.owner_name, string_agg(o.object, ', ' order by o.object)),
    format('grant %I to %I;', o.owner_name, m.rolname)
  from me as m
  cross join owned as o
  group by m.rolname, o.owner_name
  union all
  select
    5,
    'JB092',
    'the host application''s tables cannot carry the links to jobs',
    format('public.%s belongs to %I', c.relname, pg_catalog.pg_get_userbyid(c.relowner)),
    format('grant %I to %I;', pg_catalog.pg_get_userbyid(c.relowner), m.rolname)
  from me as m
  inner join pg_catalog.pg_class as c on c.relname in ('kanban_cards', 'agent_runs')
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid and n.nspname = 'public'
  where c.relkind in ('r', 'p') and not pg_catalog.pg_has_role(c.relowner, 'usage')
)

select
  p.state,
  p.sentence,
  p.detail,
  p.fix
from problems as p
order by p.place, p.detail;
