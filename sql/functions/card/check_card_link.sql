-- bundle 2
-- A link leads to a job, and a task of it, of the card's own organisation, and that is one of the
-- caller's: whatever the host's policies let through, its review queue is not open to strangers.
create or replace function jobsdb.check_card_link(
  job_id uuid,
  task_id bigint,
  org_id uuid
)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from public.jobs as j
    where j.id = check_card_link.job_id and j.org_id = check_card_link.org_id
  ) or not jobsdb.may_see(check_card_link.org_id) then
    perform jobsdb.refuse_job(check_card_link.job_id);
  end if;

  if check_card_link.task_id is not null and not exists (
    select from public.job_tasks as t
    where t.id = check_card_link.task_id
      and t.job_id = check_card_link.job_id
      and t.org_id = check_card_link.org_id
  ) then
    perform jobsdb.refuse_task(check_card_link.task_id);
  end if;
end;
$$;
revoke all on function jobsdb.check_card_link(uuid, bigint, uuid)
from public, anon, authenticated, service_role;

comment on function jobsdb.check_card_link(uuid, bigint, uuid) is
'Refuses a link of a card to a job or task that is unknown, of another organisation, or not the caller''s.
Returns: nothing.
Errors:  JB020 job or task not found or not yours.
Source:  sql/functions/card/check_card_link.sql';
