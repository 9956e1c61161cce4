-- bundle 1
create or replace function public.complete_tasks(
  task_ids bigint[],
  lease_token uuid,
  outputs jsonb[] default null
)
returns text[]
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  return (
    select c.verdicts
    from public.complete_and_claim(
      complete_tasks.task_ids, complete_tasks.lease_token, complete_tasks.outputs, 'nobody', 0
    ) as c
  );
end;
$$;
revoke all on function public.complete_tasks(bigint[], uuid, jsonb[])
from public, anon, authenticated, service_role;
grant execute on function public.complete_tasks(bigint[], uuid, jsonb[]) to service_role;

comment on function public.complete_tasks(bigint[], uuid, jsonb[]) is
'Ends claimed tasks as done, with their outputs. Service role only; one call per transaction.
Units:   outputs by position of task_ids, at most 1 MiB and 40 levels each; null: none. At most 10,000 tasks.
Returns: by position ok, paused (done as well, but its job is paused: claim no more of it), cancelled (not done, its job is finished), revoked (not done, the lease is somebody else''s or over) or not_found.
Errors:  JB011 bad list; JB012 too large or too deep; JB050 too many.
Source:  sql/functions/work/complete_tasks.sql';
