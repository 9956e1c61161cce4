-- bundle 4
create or replace function jobsdb.check_reviewer(
  org_id uuid,
  reviewer uuid
)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if check_reviewer.reviewer is null then
    raise exception using
      errcode = 'JB003',
      message = 'nobody is there who could decide',
      detail = 'The caller has no auth.uid(), and no reviewer is named.',
      hint = 'Let an identified person decide, or name the person as reviewer; an agent cannot.';
  end if;
  if (
    auth.uid() is null
    and jobsdb.caller() <> 'tenant'
    and (
      check_reviewer.reviewer = check_reviewer.org_id
      or exists (
        select from jobsdb.org_members as m
        where m.user_id = check_reviewer.reviewer and m.org_id = check_reviewer.org_id
      )
    )
  ) or check_reviewer.reviewer = auth.uid() then
    return;
  end if;
  raise exception using
    errcode = 'JB003',
    message = format('"%s" cannot decide here', check_reviewer.reviewer),
    detail = 'Who decides is a member of the organisation, and whoever is signed in decides alone.',
    hint = 'Leave reviewer away when you are signed in; else name a member (jobsdb.add_org_member).';
end;
$$;
revoke all on function jobsdb.check_reviewer(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.check_reviewer(uuid, uuid) to service_role;

comment on function jobsdb.check_reviewer(uuid, uuid) is
'Refuses a decision by nobody, or in the name of somebody else: the service role names a member of the organisation, everybody else is auth.uid().
Returns: nothing.
Errors:  JB003 nobody, or not this person.
Source:  sql/functions/card/check_reviewer.sql';
