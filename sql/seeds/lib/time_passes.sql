-- Makes everything of campaign seed.job older by seed.gap, so that what runs next happens later.
--
-- First whatever is deferred to a commit: between two moments of a campaign there would be one.
set constraints jobsdb.t50_fold_at_commit, jobsdb.t60_release_at_commit immediate;
set constraints jobsdb.t50_fold_at_commit, jobsdb.t60_release_at_commit deferred;

do $$
declare
  v_job_id uuid := current_setting('seed.job');
  v_gap interval := current_setting('seed.gap');
  v_job public.jobs;
  v_table record;
begin
  -- Every time in every row of the job. A host's table has its own times and triggers: there they
  -- stay as they came.
  for v_table in
    select
      c.oid::regclass as name,
      case when c.oid = 'public.jobs'::regclass then 'id' else 'job_id' end as job,
      string_agg(format('%1$I = %1$I - $2', a.attname), ', ') as older
    from pg_class as c
    inner join pg_attribute as a on a.attrelid = c.oid
    where c.relkind = 'r'
      and a.atttypid = 'timestamptz'::regtype
      and not a.attisdropped
      and (
        c.oid in ('public.jobs'::regclass, 'public.job_tasks'::regclass)
        or c.oid in (
          select format('public.%I', h.table_name)::regclass
          from jobsdb.host_tables as h
          where h.made_by_jobsdb
        )
        or (
          c.relnamespace = 'jobsdb'::regnamespace
          and exists (
            select from pg_attribute as j
            where j.attrelid = c.oid and j.attname = 'job_id' and not j.attisdropped
          )
        )
      )
    group by c.oid
    order by c.oid
  loop
    execute format('update %s set %s where %s = $1', v_table.name, v_table.older, v_table.job)
    using v_job_id, v_gap;
  end loop;

  update public.job_tasks as t
  set input = t.input || jsonb_build_object('scheduled_for', t.scheduled_for)
  where t.job_id = v_job_id and t.input ? 'scheduled_for';

  update jobsdb.send_events as e
  set
    happened_at = e.happened_at - v_gap,
    recorded_at = e.recorded_at - v_gap
  from jobsdb.sends as s
  where s.job_id = v_job_id and s.id = e.send_id and s.org_id = e.org_id;

  -- Contacts of the sample, and what keeps e-mails from them.
  select j.* into v_job from public.jobs as j where j.id = v_job_id;
  with mine as (
    update jobsdb.contacts as c
    set created_at = c.created_at - v_gap, updated_at = c.updated_at - v_gap
    where c.org_id = v_job.org_id
      and starts_with(c.contact_key, (v_job.params ->> 'seed') || '/')
    returning lower(c.email) as address
  )
  update jobsdb.suppressions as s
  set created_at = s.created_at - v_gap, expires_at = s.expires_at - v_gap
  where s.org_id = v_job.org_id
    and s.value in (
      select v.value
      from mine as m
      cross join lateral (values (m.address), (split_part(m.address, '@', 2))) as v (value)
    );

  -- The loader did it as the owner; it is written down as what it stands for.
  update jobsdb.events as e
  set actor_role = case when e.actor is null then 'service_role' else 'authenticated' end
  where e.job_id = v_job_id;

  update jobsdb.card_reviews as r
  set reviewer_role = case when r.reviewer is null then 'service_role' else 'authenticated' end
  where r.job_id = v_job_id;
end;
$$;
