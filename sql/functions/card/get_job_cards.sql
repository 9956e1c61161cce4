-- bundle 2
-- plpgsql, so that columns the host adds later appear by themselves. Row-level security of the
-- caller rules; the host's may be looser than ours, so the job itself must be visible too.
create or replace function public.get_job_cards(
  job_id uuid
)
returns setof public.kanban_cards
language plpgsql
stable
parallel safe
security invoker
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  return query
  select c.*
  from public.kanban_cards as c
  where c.job_id = get_job_cards.job_id
    and exists (
      select from public.jobs as j where j.id = c.job_id and j.org_id = c.org_id
    )
  order by c.id;
end;
$$;
revoke all on function public.get_job_cards(uuid) from public, anon, authenticated, service_role;
grant execute on function public.get_job_cards(uuid) to authenticated, service_role;

comment on function public.get_job_cards(uuid) is
'Lists the cards linked to a job.
Returns: rows of kanban_cards in order of id; none for an unknown or foreign job.
Errors:  none.
Source:  sql/functions/card/get_job_cards.sql';
