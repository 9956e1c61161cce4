-- What time brings to campaign seed.job, and to no other: what has nothing left to do ends, and who
-- is due is planned. The last statement counts the tasks; no row when it does not run.
select public.settle_job(j.id)
from public.jobs as j
where j.id = current_setting('seed.job')::uuid and j.status = 'running';

select public.plan_next_batch(j.id)
from public.jobs as j
where j.id = current_setting('seed.job')::uuid and j.status = 'running';
