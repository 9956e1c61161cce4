-- 2140 Every constraint is in force.
-- so: rows can be stored that break a promise, such as a card linked to another organisation's job
-- extra: warning
-- strict: failure
--
-- Not null is compared with the columns: only from 18 on it is a constraint with a name. The runs
-- of a host that gives them no organisation are linked by the job alone.
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s.%s.%s', n.nspname, c.relname, k.conname) as object,
    pg_get_constraintdef(k.oid) as definition
  from pg_catalog.pg_constraint as k
  inner join pg_catalog.pg_class as c on k.conrelid = c.oid
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    k.contype in ('p', 'u', 'f', 'c', 'x')
    and n.nspname in ('public', 'jobsdb')
    and (n.nspname = 'jobsdb' or ($1 -> 'ours') ? format('%s.%s', n.nspname, c.relname))
),

runs_without_org as (
  select
    'public.agent_runs.jobsdb_run_belongs_to_job_of_same_org' as not_there,
    'public.agent_runs.jobsdb_run_belongs_to_job' as object,
    'FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE SET NULL' as definition
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
  where
    n.nspname = 'public'
    and c.relname = 'agent_runs'
    and 'public.agent_runs' ~ ($1 ->> 'adopted')
    and not exists (
      select from pg_catalog.pg_attribute as a
      where a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
    )
),

expected_here as (
  select
    e.object,
    e.definition
  from expected as e
  where not exists (select from runs_without_org as r where r.not_there = e.object)
  union all
  select
    r.object,
    r.definition
  from runs_without_org as r
),

found as (
  select
    coalesce(e.object, a.object) as object,
    e.definition as missing,
    a.definition as extra,
    regexp_match(coalesce(e.object, a.object), '^(.*)\.([^.]*)$') as place
  from expected_here as e
  full join actual as a on e.object = a.object
  where
    e.definition is distinct from a.definition
    and coalesce(e.object, a.object) !~ ($1 ->> 'host')
)

select
  f.object,
  f.missing,
  f.extra,
  case
    when f.missing is null then format('alter table %s drop constraint %I;', f.place[1], f.place[2])
    when f.extra = f.missing || ' NOT VALID'
      then
        format(
          'alter table %s validate constraint %I;', f.place[1], f.place[2]
        )
    when f.extra is null
      then
        format(
          'alter table %s add constraint %I %s;', f.place[1], f.place[2], f.missing
        )
    else format(
      'alter table %1$s drop constraint %2$I, add constraint %2$I %3$s;',
      f.place[1],
      f.place[2],
      f.missing
    )
  end as fix
from found as f
order by object;
