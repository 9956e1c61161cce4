-- bundle 1
-- The one reader of the state machines: every guard asks it, for every role and every way of
-- writing.
create or replace function jobsdb.check_move(
  entity text,
  id text,
  from_status text,
  to_status text
)
returns void
language plpgsql
stable
parallel safe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_next text;
begin
  if exists (
    select from jobsdb.transitions as t
    where t.entity = check_move.entity
      and t.from_status = check_move.from_status
      and t.to_status = check_move.to_status
  ) then
    return;
  end if;

  select string_agg(t.to_status, ', ' order by t.to_status)
  into v_next
  from jobsdb.transitions as t
  where t.entity = check_move.entity and t.from_status = check_move.from_status;

  raise exception using
    errcode = case check_move.entity
      when 'job' then 'JB001'
      when 'task' then 'JB002'
      else 'JB003'
    end,
    message = format(
      '%s "%s" cannot go from "%s" to "%s"',
      check_move.entity, check_move.id, check_move.from_status, check_move.to_status
    ),
    detail = case
      when v_next is null then format('"%s" is final.', check_move.from_status)
      else format('From "%s" it can go to: %s.', check_move.from_status, v_next)
    end,
    hint = format('Read the %s again: somebody may have moved it meanwhile.', check_move.entity);
end;
$$;
revoke all on function jobsdb.check_move(text, text, text, text)
from public, anon, authenticated, service_role;

comment on function jobsdb.check_move(text, text, text, text) is
'Refuses a move that jobsdb.transitions does not list.
Units:   entity is job, task or card.
Returns: nothing.
Errors:  JB001 no move of a job; JB002 no move of a task; JB003 no move of a card.
Source:  sql/functions/access/check_move.sql';
