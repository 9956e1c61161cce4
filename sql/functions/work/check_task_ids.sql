-- bundle 1
create or replace function jobsdb.check_task_ids(
  task_ids bigint[],
  results int default null
)
returns void
language plpgsql
immutable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
begin
  if cardinality(check_task_ids.task_ids) > 10000 then
    raise exception using
      errcode = 'JB050',
      message = format('%s tasks are too many for one call', cardinality(check_task_ids.task_ids)),
      detail = 'The limit is 10000.',
      hint = 'Send them in several calls.';
  elsif check_task_ids.task_ids is null
    or array_ndims(check_task_ids.task_ids) > 1
    or array_lower(check_task_ids.task_ids, 1) <> 1
    or array_position(check_task_ids.task_ids, null) is not null then
    raise exception using
      errcode = 'JB011',
      message = 'task_ids is no list of tasks',
      detail = format('It is %s.', left(coalesce(check_task_ids.task_ids::text, 'null'), 200)),
      hint = 'Pass the ids of claimed tasks, without nulls.';
  elsif cardinality(check_task_ids.task_ids)
    <> (select count(distinct i.id) from unnest(check_task_ids.task_ids) as i (id)) then
    raise exception using
      errcode = 'JB011',
      message = 'a task is named twice',
      detail = format('task_ids is %s.', left(check_task_ids.task_ids::text, 200)),
      hint = 'Name each task once.';
  elsif check_task_ids.results <> cardinality(check_task_ids.task_ids) then
    raise exception using
      errcode = 'JB011',
      message = case
        when check_task_ids.results < 0 then 'the results are no plain list'
        else format(
          '%s results do not fit %s tasks',
          check_task_ids.results, cardinality(check_task_ids.task_ids)
        )
      end,
      detail = 'Results go with task_ids by position.',
      hint = 'Pass one for each task, null where there is none, or leave the whole list out.';
  end if;
end;
$$;
revoke all on function jobsdb.check_task_ids(bigint[], int)
from public, anon, authenticated, service_role;

comment on function jobsdb.check_task_ids(bigint[], int) is
'Refuses a list of tasks that no worker can mean: null, with nulls or repetitions, or with another number of results (below 0: not in one dimension).
Returns: nothing.
Errors:  JB011 bad list; JB050 more than 10,000.
Source:  sql/functions/work/check_task_ids.sql';
