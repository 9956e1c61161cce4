-- bundle 1
create or replace function jobsdb.task_verdicts(
  task_ids bigint[],
  ok_ids bigint[]
)
returns text[]
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if cardinality(task_verdicts.ok_ids) = cardinality(task_verdicts.task_ids)
    and not exists (
      select from public.job_tasks as t
      inner join public.jobs as j on j.id = t.job_id and j.org_id = t.org_id
      where t.id = any(task_verdicts.ok_ids) and j.paused_at is not null
    ) then
    return array_fill('ok'::text, array[cardinality(task_verdicts.ok_ids)]);
  end if;
  return array(
    select case
      when t.id is null then 'not_found'
      when i.id = any(task_verdicts.ok_ids)
        then case
          when j.paused_at is not null and j.status in ('pending', 'running') then 'paused'
          else 'ok'
        end
      when j.status in ('failed', 'cancelled') then 'cancelled'
      else 'revoked'
    end
    from unnest(task_verdicts.task_ids) with ordinality as i (id, place)
    left join public.job_tasks as t on t.id = i.id
    left join public.jobs as j on j.id = t.job_id and j.org_id = t.org_id
    order by i.place
  );
end;
$$;
revoke all on function jobsdb.task_verdicts(bigint[], bigint[])
from public, anon, authenticated, service_role;

comment on function jobsdb.task_verdicts(bigint[], bigint[]) is
'Says what has become of each task a worker meant; ok_ids are those for which its call did what it should.
Returns: by position ok, paused (done as asked, but its job is paused), cancelled (its job was cancelled or has failed), revoked (not held with this token) or not_found.
Errors:  none.
Source:  sql/functions/work/task_verdicts.sql';
