-- What the contract names is there: tables, columns, keys, functions, policies, rights.
begin;
set local search_path to public, tap;
select plan(74);

select has_table('public', t, format('%s is a table', t))
from unnest('{jobs,job_tasks,kanban_cards,agent_runs}'::name[]) as t;
select has_view('public', v, format('%s is a view', v))
from unnest(
  '{job_metrics,job_metrics_live,job_performance_summary,recent_job_activity}'::name[]
) as v;
select set_eq(
  $$ select table_name::text from information_schema.tables
  where table_schema = 'public' and table_name in ('jobs', 'job_tasks', 'job_metrics') $$,
  array['job_metrics', 'job_tasks', 'jobs'],
  'information_schema lists the three'
);

select col_type_is('public', c.rel, c.col, c.kind, format('%s.%s is %s', c.rel, c.col, c.kind))
from (values
  ('jobs', 'id', 'uuid'), ('jobs', 'org_id', 'uuid'), ('jobs', 'params', 'jsonb'),
  ('jobs', 'status', 'job_status'), ('jobs', 'paused_at', 'timestamp with time zone'),
  ('job_tasks', 'id', 'bigint'), ('job_tasks', 'org_id', 'uuid'), ('job_tasks', 'job_id', 'uuid'),
  ('job_tasks', 'batch', 'integer'), ('job_tasks', 'step', 'integer'),
  ('job_tasks', 'status', 'task_status'), ('job_tasks', 'input', 'jsonb'),
  ('job_tasks', 'output', 'jsonb'), ('job_tasks', 'depends_on', 'integer[]'),
  ('kanban_cards', 'job_id', 'uuid'), ('kanban_cards', 'task_id', 'bigint'),
  ('kanban_cards', 'content', 'jsonb'), ('agent_runs', 'job_id', 'uuid')
) as c (rel, col, kind);
select has_column('public', 'jobs', c, format('jobs counts %s', c))
from unnest(
  array[
    'tasks_total', 'tasks_done', 'tasks_error', 'tasks_skipped', 'cards_total', 'cards_in_review',
    'cards_approved', 'cards_rejected', 'cards_done', 'cards_other'
  ]::name[]
) as c;
select domain_type_is('public', d, 'pg_catalog', 'text', format('%s is text', d))
from unnest('{job_status,task_status}'::name[]) as d;
select col_default_is('public', 'job_tasks', 'batch', '0', 'a task is of batch 0 by default');
select col_not_null('public', 'jobs', 'org_id', 'a job has an organisation');
select col_is_null('public', 'kanban_cards', 'job_id', 'a card may belong to no job');

select col_is_pk('public', 'jobs', 'id', 'jobs have an id');
select col_is_pk('public', 'job_tasks', 'id', 'tasks have an id');
select col_is_unique(
  'public', 'job_tasks', array['job_id', 'batch', 'step'], 'a step is there once'
);
select col_is_unique('public', 'jobs', array['id', 'org_id'], 'a job has one organisation');
select fk_ok(
  'public', 'job_tasks', array['job_id', 'org_id'], 'public', 'jobs', array['id', 'org_id'],
  'a task is of the organisation of its job'
);
select is_indexed(
  'public', 'jobs', array['org_id', 'created_at'], 'jobs are listed by organisation'
);
select is_indexed('public', 'job_tasks', array['org_id', 'id'], 'and so are tasks');
select is_indexed('public', 'kanban_cards', 'job_id', 'cards are found by their job');

select function_returns(
  'public', f.name, f.takes::name[], f.gives, format('%s gives %s', f.name, f.gives)
)
from (values
  ('transition_job_status', '{uuid,text}', 'jobs'), ('cancel_job', '{uuid}', 'jobs'),
  ('pause_job', '{uuid}', 'jobs'), ('resume_job', '{uuid}', 'jobs'),
  ('get_job_cards', '{uuid}', 'setof kanban_cards'), ('create_job', '{jsonb}', 'jobs'),
  ('refresh_job_metrics', '{}', 'timestamp with time zone')
) as f (name, takes, gives);
select is_definer(
  'public', 'complete_tasks', '{bigint[],uuid,jsonb[]}'::name[], 'it writes what agents may not'
);

select policies_are(
  'public', 'jobs',
  array[
    'tenant_reads_own_jobs', 'tenant_inserts_own_jobs', 'tenant_updates_own_jobs',
    'service_does_all_jobs'
  ]::name[],
  'jobs have these policies'
);
select policies_are(
  'public', 'job_tasks',
  array[
    'tenant_reads_own_tasks', 'tenant_inserts_own_tasks', 'tenant_updates_own_tasks',
    'service_does_all_tasks'
  ]::name[],
  'tasks have these policies'
);
select policy_roles_are(
  'public', 'jobs', 'tenant_reads_own_jobs', '{authenticated}'::name[], 'it is for tenants'
);
select policy_cmd_is('public', 'jobs', 'tenant_reads_own_jobs', 'select', 'it is for reading');
select table_privs_are('public', t, 'anon', '{}', format('strangers may do nothing with %s', t))
from unnest(
  '{jobs,job_tasks,kanban_cards,agent_runs,job_metrics,job_performance_summary}'::name[]
) as t;
select table_privs_are(
  'public', 'jobs', 'authenticated', '{SELECT}', 'tenants write jobs by column only'
);
select table_privs_are(
  'public', 'jobs', 'service_role', '{SELECT,DELETE}', 'agents may delete them, too'
);
select schema_privs_are('jobsdb', r, '{}', format('%s cannot enter the private schema', r))
from unnest('{anon,authenticated}'::name[]) as r;
select function_privs_are(
  'public', 'claim_tasks', '{text,int4,text[],uuid,interval,uuid}'::name[], 'authenticated', '{}',
  'tenants claim nothing'
);
select function_privs_are(
  'public', 'claim_tasks', '{text,int4,text[],uuid,interval,uuid}'::name[], 'service_role',
  '{EXECUTE}', 'agents do'
);

select * from finish();
rollback;
