-- bundle 5
create or replace function jobsdb.blockers_of(
  job public.jobs
)
returns table (
  what text,
  items bigint,
  oldest_at timestamptz,
  next_at timestamptz,
  sentence text,
  ids bigint[]
)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
set jit to off
as $$
#variable_conflict use_variable
declare
  v_id uuid := (blockers_of.job).id;
  v_org_id uuid := (blockers_of.job).org_id;
begin
  return query
  select b.what, b.items, b.oldest_at, b.next_at, format(b.says, b.items), b.ids
  from (
    select
      'tasks_' || t.status as what,
      count(*) as items,
      min(t.created_at) as oldest_at,
      min(t.waits_until) as next_at,
      case t.status::text
        when 'running' then 'tasks being worked on: %s' else 'tasks waiting for a worker: %s'
      end as says,
      null::bigint[] as ids
    from public.job_tasks as t
    where t.job_id = v_id and t.org_id = v_org_id and t.status in ('pending', 'running')
    group by t.status
    union all
    select
      case k.state when 'approved' then 'cards_approved' else 'cards_in_review' end,
      count(*),
      min(k.since),
      null,
      case k.state
        when 'approved' then 'approved cards not executed: %s'
        else 'cards waiting for a person: %s'
      end,
      null
    from (
      select
        case jobsdb.card_state(to_jsonb(c.*)) when 'approved' then 'approved' end as state,
        coalesce(
          (select w.since from jobsdb.waiting_cards as w where w.card_id = c.id::text),
          (select max(r.decided_at) from jobsdb.card_reviews as r where r.card_id = c.id::text)
        ) as since
      from public.kanban_cards as c
      where c.job_id = v_id
        and c.org_id = v_org_id
        and jobsdb.card_state(to_jsonb(c.*)) not in ('rejected', 'done')
    ) as k
    group by k.state
    union all
    select
      case s.state when 'unknown' then 'sends_unknown' else 'sends_open' end,
      count(*),
      min(s.queued_at),
      min(s.not_before),
      case s.state
        when 'unknown' then 'e-mails nobody knows whether they went out (resolve_unknown): %s'
        else 'e-mails on their way, or waiting for their window: %s'
      end,
      case s.state when 'unknown' then array_agg(s.id order by s.id) end
    from (
      select
        q.id, case q.state when 'unknown' then 'unknown' end as state, q.queued_at, q.not_before
      from jobsdb.sends as q
      where q.job_id = v_id
        and q.org_id = v_org_id
        and q.state in ('queued', 'leased', 'dispatching', 'unknown')
    ) as s
    group by s.state
    union all
    select
      'contacts_active',
      count(*),
      min(c.updated_at),
      (
        select min(d.due_at)
        from jobsdb.due_contacts as d
        where d.job_id = v_id and d.org_id = v_org_id
      ),
      'contacts with a touch to come or under way: %s',
      null
    from jobsdb.job_contacts as c
    where c.job_id = v_id
      and c.org_id = v_org_id
      and c.state = 'active'
      and c.next_touch is not null
    having count(*) > 0
  ) as b;
end;
$$;
revoke all on function jobsdb.blockers_of(public.jobs)
from public, anon, authenticated, service_role;

comment on function jobsdb.blockers_of(public.jobs) is
'Body of public.job_blockers and of jobsdb.settle_job.
Source:  sql/functions/send/blockers_of.sql';
