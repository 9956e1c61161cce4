-- bundle 5
-- A task that sends has nothing left to do when its draft is done and none of the cards that came
-- of it waits for a person or for its e-mail. What somebody holds is left for the next look.
create or replace function jobsdb.end_send_tasks(
  job_id uuid,
  org_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_ids bigint[];
  v_rows int;
begin
  v_ids := array(
    select t.id
    from (
      select q.id
      from public.job_tasks as q
      where q.job_id = end_send_tasks.job_id and q.kind = 'send_email' and q.pos is not null
      union all
      select q.id
      from public.job_tasks as q
      where q.job_id = end_send_tasks.job_id and q.waits_until is not null
    ) as n
    inner join public.job_tasks as t on t.id = n.id
    cross join lateral (
      select d.id, d.status
      from public.job_tasks as d
      where d.job_id = t.job_id
        and d.org_id = t.org_id
        and d.batch = t.batch
        and d.step < t.step
        and d.kind = 'draft_email'
      order by d.step desc
      limit 1
    ) as d
    where t.job_id = end_send_tasks.job_id
      and t.org_id = end_send_tasks.org_id
      and t.kind = 'send_email'
      and t.status = 'pending'
      and d.status in ('done', 'skipped')
      and t.input ? 'touch'
      and not exists (
        select from public.kanban_cards as c
        where c.task_id in (d.id, t.id)
          and c.job_id = t.job_id
          and jobsdb.card_state(to_jsonb(c.*)) not in ('rejected', 'done')
      )
    order by t.id
    for no key update of t skip locked
  );
  update public.job_tasks as t
  set status = 'done', output = '{"settled": true}'
  where t.id = any(v_ids) and t.org_id = end_send_tasks.org_id and t.status = 'pending';
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
revoke all on function jobsdb.end_send_tasks(uuid, uuid)
from public, anon, authenticated, service_role;

comment on function jobsdb.end_send_tasks(uuid, uuid) is
'Sets the planned send tasks of a job done whose cards are all rejected or sent.
Returns: number of tasks.
Errors:  none.
Source:  sql/functions/send/end_send_tasks.sql';
