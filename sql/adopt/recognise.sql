-- Is this the jobs system people make by hand from the guide? Asked of the catalog, not of texts:
-- needed columns of fitting types, and at least one of the functions or views that go with them.
-- The other marks only add to the score.
with families (family, type_names) as (
  values
  ('uuid', '{uuid}'::text[]),
  ('text', '{text,character varying,character,name,citext}'),
  ('json', '{jsonb,json}'),
  ('whole number', '{smallint,integer,bigint}'),
  ('whole number or uuid', '{smallint,integer,bigint,uuid}'),
  ('time', '{timestamp with time zone,timestamp without time zone}')
),

wanted (place, table_name, column_name, family, needed) as (
  values
  (10, 'jobs', 'id', 'uuid', true),
  (11, 'jobs', 'org_id', 'uuid', true),
  (12, 'jobs', 'name', 'text', true),
  (13, 'jobs', 'params', 'json', true),
  (14, 'jobs', 'status', 'text', true),
  (15, 'jobs', 'description', 'text', false),
  (16, 'jobs', 'created_at', 'time', false),
  (17, 'jobs', 'started_at', 'time', false),
  (18, 'jobs', 'finished_at', 'time', false),
  (20, 'job_tasks', 'id', 'whole number or uuid', true),
  (21, 'job_tasks', 'job_id', 'uuid', true),
  (22, 'job_tasks', 'step', 'whole number', true),
  (23, 'job_tasks', 'kind', 'text', true),
  (24, 'job_tasks', 'status', 'text', true),
  (25, 'job_tasks', 'input', 'json', true),
  (26, 'job_tasks', 'output', 'json', false),
  (27, 'job_tasks', 'batch', 'whole number', false),
  (28, 'job_tasks', 'retry_count', 'whole number', false),
  (29, 'job_tasks', 'error_message', 'text', false)
),

present as (
  select
    c.relname as table_name,
    a.attname as column_name,
    -- Of a domain, what it stands for; an enum is text with a list.
    case
      when 'e' in (t.typtype, b.typtype) then 'text'
      else pg_catalog.format_type(coalesce(b.oid, t.oid), null)
    end as type_name,
    pg_catalog.format_type(t.oid, null) as shown
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
  inner join pg_catalog.pg_type as t on a.atttypid = t.oid
  left join pg_catalog.pg_type as b on t.typbasetype = b.oid
  where
    c.relnamespace = 'public'::regnamespace
    and c.relkind = 'r'
    and a.attnum > 0
    and not a.attisdropped
),

relations (relation_name) as (
  values
  ('jobs'),
  ('job_tasks'),
  ('job_metrics'),
  ('job_metrics_live'),
  ('job_performance_summary'),
  ('recent_job_activity')
),

functions (function_name) as (
  values
  ('transition_job_status'),
  ('cancel_job'),
  ('get_job_cards'),
  ('get_job_progress'),
  ('get_job_metrics_for_org'),
  ('refresh_job_metrics'),
  ('update_job_metrics_on_task_change'),
  ('update_job_metrics_on_card_change')
),

company as (
  select format('%s public.%s', 'relation', r.relation_name) as what
  from relations as r
  where
    r.relation_name not in ('jobs', 'job_tasks')
    and to_regclass('public.' || r.relation_name) is not null
  union all
  select format('function public.%s', f.function_name) as what
  from functions as f
  where exists (
    select from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname = f.function_name
  )
),

marks (place, needed, is_there, missing) as (
  select
    1 as place,
    true as needed,
    c.oid is not null as is_there,
    format('an ordinary table public.%s', n.table_name) as missing
  from (values ('jobs'), ('job_tasks')) as n (table_name)
  left join pg_catalog.pg_class as c
    on c.oid = to_regclass('public.' || n.table_name) and c.relkind = 'r'
  union all
  select
    w.place,
    w.needed,
    p.type_name is not null and p.type_name = any(f.type_names) as is_there,
    format('a column public.%s.%s (%s', w.table_name, w.column_name, w.family)
    || case when p.shown is null then ')' else format('; it is %s)', p.shown) end
  from wanted as w
  inner join families as f on w.family = f.family
  left join present as p on w.table_name = p.table_name and w.column_name = p.column_name
  union all
  select
    30,
    false,
    (
      select count(*) > 0
      from pg_catalog.pg_constraint as k
      where
        k.contype = 'f'
        and k.conrelid = to_regclass('public.job_tasks')
        and k.confrelid = to_regclass('public.jobs')
    ),
    'a foreign key from public.job_tasks to public.jobs'
  union all
  select
    40,
    true,
    (select count(*) > 0 from company),
    'any of its functions and views, such as transition_job_status or job_metrics'
)

select
  bool_and(m.is_there or not m.needed) as is_recognised,
  (count(*) filter (where m.is_there)) + (select count(*) from company) as score,
  count(*) + (select count(*) from relations) - 2 + (select count(*) from functions) as best,
  coalesce(
    array_agg(m.missing order by m.place, m.missing) filter (where m.needed and not m.is_there),
    '{}'
  ) as missing,
  exists (select from company)
  or exists (
    select from relations as r where to_regclass('public.' || r.relation_name) is not null
  )
  or exists (
    select from pg_catalog.pg_type as t
    where
      t.typnamespace = 'public'::regnamespace and t.typname in ('job_status', 'task_status')
  ) as is_something_there
from marks as m;
