-- Removes the sample job seed.job and whatever the samples have put beside it.
delete from public.kanban_cards as c
using public.jobs as j
where
  j.id = current_setting('seed.job')::uuid
  and c.job_id = j.id
  -- Cards of the host that were linked to a sample stay; deleting the job unlinks them.
  and (
    to_jsonb(c.*) #>> '{content,seed}' is not null
    or starts_with(to_jsonb(c.*) #>> '{content,contact_id}', (j.params ->> 'seed') || '/')
    or to_jsonb(c.*) #> '{content,erased}' = 'true'
  );

do $$
begin
  if exists (
    select from jobsdb.host_tables as h
    where h.table_name = 'agent_runs' and h.made_by_jobsdb
  ) then
    delete from public.agent_runs as r
    using (
      select distinct t.job_id, t.batch
      from public.job_tasks as t
      where t.job_id = current_setting('seed.job')::uuid
    ) as b
    where r.id = md5(concat_ws('/', b.job_id, 'run', b.batch))::uuid;
  end if;
end;
$$;

-- Its contacts, what keeps e-mails from them, and what limits e-mails to their domains.
with mine as (
  delete from jobsdb.contacts as c
  using public.jobs as j
  where
    j.id = current_setting('seed.job')::uuid
    and c.org_id = j.org_id
    and starts_with(c.contact_key, (j.params ->> 'seed') || '/')
  returning c.org_id, lower(btrim(c.email)) as address
),

named as (
  select
    m.org_id,
    v.value
  from mine as m
  cross join lateral (values (m.address), (split_part(m.address, '@', 2))) as v (value)
  where v.value <> ''
),

allowed as (
  delete from jobsdb.suppressions as s
  using named as n
  where s.org_id = n.org_id and s.value = n.value
)

delete from jobsdb.rate_limits as r
using named as n
where r.org_id = n.org_id and r.scope = 'domain' and r.value = n.value;

delete from public.jobs as j
where j.id = current_setting('seed.job')::uuid;

-- What outlives a job on purpose, but not a sample.
delete from jobsdb.job_deltas as d
where d.job_id = current_setting('seed.job')::uuid;

delete from jobsdb.missed_steps as m
where m.job_id = current_setting('seed.job')::uuid;

delete from jobsdb.card_reviews as r
where r.job_id = current_setting('seed.job')::uuid;

delete from jobsdb.events as e
where e.job_id = current_setting('seed.job')::uuid;

delete from jobsdb.send_events as e
using jobsdb.sends as s
where e.send_id = s.id and s.job_id = current_setting('seed.job')::uuid;

delete from jobsdb.sends as s
where s.job_id = current_setting('seed.job')::uuid;

-- Membership of a sample organisation ends with its last job.
delete from jobsdb.org_members as m
where
  m.org_id = any(current_setting('seed.orgs')::uuid[])
  and not exists (select from public.jobs as j where j.org_id = m.org_id);
