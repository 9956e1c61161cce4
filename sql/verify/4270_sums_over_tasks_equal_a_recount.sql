-- 4270 Sums over tasks equal a recount.
-- so: job_metrics says wrongly how many tasks of each kind are done, and how long they took
--
-- One statement, so that it is right while others write. What a closed job has skipped is what is
-- left over, whatever its rows still say.
select
  format('job %s', j.id) as object,
  format('%s, %s retries', c.kinds, r.retries) as missing,
  format('%s, %s retries', s.kinds, b.retries) as extra,
  format(
    'insert into jobsdb.task_moves (job_id, org_id, starts_anew) values (%L, %L, true);'
    || ' select public.refresh_job_metrics();',
    j.id, j.org_id
  ) as fix
from public.jobs as j
cross join lateral jobsdb.rollup_of(j.id) as b
cross join lateral jobsdb.rollup_of(j.id, true) as r
cross join
  lateral (
    select
      jsonb_object_agg(
        k.key, k.value - case when j.status in ('failed', 'cancelled') then 'skipped' else '' end
      ) as kinds
    from jsonb_each(b.kinds) as k
    where k.value ->> 'total' <> '0'
  ) as s
cross join
  lateral (
    select
      jsonb_object_agg(
        k.key, k.value - case when j.status in ('failed', 'cancelled') then 'skipped' else '' end
      ) as kinds
    from jsonb_each(r.kinds) as k
  ) as c
where
  (s.kinds, b.retries, (select sum(n.n) from unnest((b.run).counts) as n (n)))
  is distinct from (c.kinds, r.retries, (select sum(n.n) from unnest((r.run).counts) as n (n)))
order by object
limit 100;
