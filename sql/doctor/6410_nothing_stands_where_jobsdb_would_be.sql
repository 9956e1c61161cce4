-- 6410 Nothing stands where jobsdb would be.
-- so: `jobsdb migrate` refuses, and SQL run by hand says "relation already exists"
--
-- $1 -> 'ours' are the names that jobsdb has in schema public.
with ours as (
  select o.name
  from jsonb_array_elements_text($1 -> 'ours') as o (name)
  where not ($1 ->> 'installed')::boolean
),

there (name, kind, identity) as (
  select
    c.relname,
    case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
    format('public.%I', c.relname)
  from pg_class as c
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
  union all
  select
    p.proname,
    'function',
    p.oid::regprocedure::text
  from pg_proc as p
  where p.pronamespace = 'public'::regnamespace
  union all
  select
    t.typname,
    case t.typtype when 'd' then 'domain' else 'type' end,
    format('public.%I', t.typname)
  from pg_type as t
  where t.typnamespace = 'public'::regnamespace and t.typtype in ('d', 'e')
)

select
  'bad' as state,
  format(
    '"%s already exists": %s is not jobsdb''s',
    case when bool_or(t.kind like '%table') then 'relation' else 'object' end,
    string_agg(format('%s %s', t.kind, t.identity), ', ' order by t.identity)
  ) as sentence,
  case
    when to_regclass('public.jobs') is not null and to_regclass('public.job_tasks') is not null
      then 'jobsdb migrate --adopt'
    else 'create schema if not exists before_jobsdb; ' || string_agg(
      format('alter %s %s set schema before_jobsdb;', t.kind, t.identity),
      ' ' order by t.identity
    )
  end as remedy
from there as t
inner join ours as o on o.name = 'public.' || t.name
where t.name not in ('kanban_cards', 'agent_runs')
having count(*) > 0;
