-- bundle 5
create or replace function jobsdb.prune_history(
  older_than interval,
  max_rows int default 10000
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_before timestamptz := now() - prune_history.older_than;
  v_rows int;
  v_pruned int := 0;
begin
  if (prune_history.older_than > '0' and prune_history.max_rows > 0) is not true then
    raise exception using
      errcode = 'JB011',
      message = 'nothing can be pruned by that',
      detail = format(
        'older_than %s, max_rows %s.',
        coalesce(prune_history.older_than::text, 'null'),
        coalesce(prune_history.max_rows::text, 'null')
      ),
      hint = 'Write for example interval ''1 year''.';
  end if;

  update jobsdb.sends as s
  set subject = null, body = null
  where s.id = any(array(
    select q.id
    from jobsdb.sends as q
    where q.settled_at < v_before and q.body is not null
    limit prune_history.max_rows
    for no key update skip locked
  ));
  get diagnostics v_rows = row_count;
  v_pruned := v_pruned + v_rows;

  update jobsdb.send_events as e
  set detail = '{}'
  where e.id = any(array(
    select q.id
    from jobsdb.send_events as q
    where q.recorded_at < v_before and q.detail <> '{}'
    limit prune_history.max_rows - v_pruned
    for no key update skip locked
  ));
  get diagnostics v_rows = row_count;
  v_pruned := v_pruned + v_rows;

  delete from jobsdb.events as e
  where e.id = any(array(
    select q.id
    from jobsdb.events as q
    where q.happened_at < v_before
      and not exists (
        select from public.jobs as j
        where j.id = q.job_id and j.org_id = q.org_id and j.status in ('pending', 'running')
      )
    order by q.id
    limit prune_history.max_rows - v_pruned
    for update skip locked
  ));
  get diagnostics v_rows = row_count;
  return v_pruned + v_rows;
end;
$$;
revoke all on function jobsdb.prune_history(interval, int)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.prune_history(interval, int) to service_role;

comment on function jobsdb.prune_history(interval, int) is
'Forgets old texts: what was written in e-mails settled before, what providers said beside the events, and the history of finished jobs. The ledger of sends, its events and every decision stay, so nobody is written to twice and every count stays true. Service role only.
Units:   older_than counts back from now; at most max_rows rows a call: call it until it returns 0.
Returns: number of rows.
Errors:  JB011 bad argument.
Source:  sql/functions/privacy/prune_history.sql';
