-- Adds generated tasks to job seed.job: seed.missing of them, as far as 20,000 have room in it. The
-- last statement counts them: none when the job is full or finished.
insert into public.jobs (id, org_id, name, description, params)
values (
  current_setting('seed.job')::uuid,
  current_setting('seed.org')::uuid,
  'Generated load ' || current_setting('seed.part'),
  'Tasks without meaning, for trying jobsdb under load.',
  jsonb_build_object(
    'seed', 'generated',
    'part', current_setting('seed.part')::int,
    'review_mode', false
  )
)
on conflict (id) do nothing;

update public.jobs
set status = 'running'
where id = current_setting('seed.job')::uuid and status = 'pending';

insert into public.job_tasks (job_id, step, kind, input, depends_on)
select
  j.id,
  s.step,
  'research' as kind,
  jsonb_build_object('target_id', 'account-' || s.step, 'research_type', 'company') as input,
  '{}' as depends_on
from public.jobs as j
cross join
  lateral generate_series(
    j.tasks_total + 1, least(j.tasks_total + current_setting('seed.missing')::int, 20000)
  ) as s (step)
where j.id = current_setting('seed.job')::uuid and j.status = 'running';
