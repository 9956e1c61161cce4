-- bundle 3
-- The columns of the views on metrics are those of the table of frozen metrics, and are explained
-- there; the summary names what it sums up alike.
do $$
declare
  v_column record;
begin
  for v_column in
    select c.relname, v.attname, col_description(t.attrelid, t.attnum) as said
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_attribute as v on c.oid = v.attrelid
    inner join pg_catalog.pg_attribute as t
      on t.attrelid = 'jobsdb.frozen_job_metrics'::regclass and v.attname = t.attname
    where c.oid in (
      'public.job_metrics'::regclass,
      'public.job_metrics_live'::regclass,
      'public.job_performance_summary'::regclass
    )
  loop
    execute format(
      'comment on column public.%I.%I is %L', v_column.relname, v_column.attname, v_column.said
    );
  end loop;
end;
$$;

comment on column public.job_performance_summary.org_id is 'The organisation.';
comment on column public.job_performance_summary.jobs_total is 'Number of its jobs.';
comment on column public.job_performance_summary.jobs_pending is 'Jobs not yet started.';
comment on column public.job_performance_summary.jobs_running is 'Jobs running or paused.';
comment on column public.job_performance_summary.jobs_succeeded is 'Jobs that succeeded.';
comment on column public.job_performance_summary.jobs_failed is 'Jobs that failed.';
comment on column public.job_performance_summary.jobs_cancelled is 'Jobs that were cancelled.';

comment on column public.recent_job_activity.org_id is 'The organisation.';
comment on column public.recent_job_activity.job_id is 'The job.';
comment on column public.recent_job_activity.job_name is 'Its name; null when it was deleted.';
comment on column public.recent_job_activity.entity is 'What has changed: job, card or send.';
comment on column public.recent_job_activity.entity_id is 'Its id, as text.';
comment on column public.recent_job_activity.what is 'The entity and its move, such as card in_review → approved.';
comment on column public.recent_job_activity.happened_at is 'When.';
comment on column public.recent_job_activity.who is 'The user id of whoever did it, else the database role.';
comment on column public.recent_job_activity.id is 'Order in which it was written; an event that commits late is seen late.';
