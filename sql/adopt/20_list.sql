-- What belongs to the old jobs system: whatever has a name of jobsdb's, and the functions that only
-- triggers of its tables call. What an extension has made is not moved.
insert into jobsdb_before.moved (class_id, object_id, kind, old_name)
select
  'pg_catalog.pg_class'::regclass as class_id,
  c.oid,
  case c.relkind
    when 'v' then 'view'
    when 'm' then 'materialized view'
    when 'f' then 'foreign table'
    else 'table'
  end as kind,
  c.relname
from pg_catalog.pg_class as c
where
  c.relnamespace = 'public'::regnamespace
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and c.relname in (
    'jobs', 'job_tasks', 'job_metrics', 'job_metrics_live', 'job_performance_summary',
    'recent_job_activity', 'review_queue'
  );

insert into jobsdb_before.moved (class_id, object_id, kind, old_name)
select
  'pg_catalog.pg_type'::regclass as class_id,
  t.oid,
  'type' as kind,
  t.typname
from pg_catalog.pg_type as t
where
  t.typnamespace = 'public'::regnamespace
  and t.typname in ('job_status', 'task_status')
  and t.typrelid = 0;

insert into jobsdb_before.moved (class_id, object_id, kind, old_name)
select
  'pg_catalog.pg_proc'::regclass as class_id,
  p.oid,
  'routine' as kind,
  p.proname
from pg_catalog.pg_proc as p
where
  p.pronamespace = 'public'::regnamespace
  and (
    p.proname in (
      'update_job_metrics_on_task_change', 'update_job_metrics_on_card_change',
      'assert_lease', 'begin_send', 'cancel_job', 'claim_planning', 'claim_sends', 'claim_tasks',
      'complete_and_claim', 'complete_tasks', 'create_job', 'draft_cards', 'dry_run_job',
      'erase_contact', 'explain_job_params', 'export_contact', 'fail_tasks', 'get_job_cards',
      'get_job_metrics_for_org', 'get_job_progress', 'heartbeat_tasks', 'job_blockers',
      'pause_job', 'plan_next_batch', 'preview_job', 'record_send_event', 'record_usage',
      'refresh_job_metrics', 'release_tasks', 'render_template', 'resolve_unknown', 'resume_job',
      'retry_job', 'review_card', 'review_cards', 'settle_job', 'settle_send', 'tick',
      'transition_job_status', 'upsert_contacts', 'validate_job_params'
    )
    or (
      exists (
        select from pg_catalog.pg_trigger as t
        inner join jobsdb_before.moved as m on t.tgrelid = m.object_id
        where t.tgfoid = p.oid
      )
      and not exists (
        select from pg_catalog.pg_trigger as t
        where
          t.tgfoid = p.oid
          and not exists (
            select from jobsdb_before.moved as m
            where m.object_id = t.tgrelid and m.class_id = 'pg_catalog.pg_class'::regclass
          )
      )
    )
  )
  and not exists (
    select from pg_catalog.pg_depend as d
    where
      d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  );
