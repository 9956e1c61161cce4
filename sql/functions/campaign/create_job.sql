-- bundle 4
-- Without a name for its argument PostgREST hands the whole body over, so the host's route and
-- POST /rpc/create_job take the same JSON.
create or replace function jobsdb.create_job(
  payload jsonb
)
returns public.jobs
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_payload jsonb := create_job.payload;
  v_params jsonb;
  v_problems text;
  v_org_id uuid;
  v_key text;
  v_job public.jobs;
begin
  -- What supabase-js sends for rpc('create_job', {payload: …}).
  if jsonb_typeof(v_payload -> 'payload') = 'object' and not v_payload ? 'name' then
    v_payload := v_payload -> 'payload';
  end if;
  perform jobsdb.check_document('the payload', v_payload);
  if jsonb_typeof(v_payload) is distinct from 'object' then
    v_payload := '{}';
  end if;
  v_params := coalesce(nullif(v_payload -> 'params', 'null'), '{}');

  select string_agg(p.problem, '; ')
  into v_problems
  from (
    select w.problem
    from (
      values
      ('name is missing', coalesce(jsonb_typeof(v_payload -> 'name'), 'null') = 'null'),
      ('name is not text', jsonb_typeof(v_payload -> 'name') not in ('string', 'null')),
      ('name is blank', v_payload ->> 'name' !~ '[^[:space:]]'),
      ('name has more than 200 characters', length(v_payload ->> 'name') > 200),
      (
        'description is not text',
        jsonb_typeof(v_payload -> 'description') not in ('string', 'null')
      ),
      (
        'idempotency_key is not a text of 1 to 200 characters',
        jsonb_typeof(v_payload -> 'idempotency_key') not in ('string', 'null')
        or length(v_payload ->> 'idempotency_key') not between 1 and 200
      ),
      (
        'org_id is not a uuid',
        v_payload ->> 'org_id'
        !~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      ),
      (
        'org_id is missing, and nobody is signed in whose own it could be',
        v_payload ->> 'org_id' is null and auth.uid() is null
      )
    ) as w (problem, is_so)
    where w.is_so
    union all
    select e.sentence from jobsdb.params_problems(v_params) as e where e.severity = 'error'
  ) as p;
  if v_problems is not null then
    raise exception using
      errcode = 'JB010',
      message = 'the job cannot be created',
      detail = v_problems || '.',
      hint = 'Correct every point the detail names; validate_job_params(params) tells more.';
  end if;

  v_org_id := coalesce((v_payload ->> 'org_id')::uuid, auth.uid());
  perform jobsdb.check_org(v_org_id);

  v_job.id := gen_random_uuid();
  v_key := v_payload ->> 'idempotency_key';
  if v_key is not null then
    -- Whoever is creating the same job right now is waited for.
    insert into jobsdb.job_keys (org_id, idempotency_key, job_id)
    values (v_org_id, v_key, v_job.id)
    on conflict do nothing;
    if not found then
      select j.*
      into v_job
      from jobsdb.job_keys as k
      inner join public.jobs as j on j.id = k.job_id and j.org_id = k.org_id
      where k.org_id = v_org_id and k.idempotency_key = v_key;
      return v_job;
    end if;
  end if;

  insert into public.jobs (id, org_id, name, description, params)
  values (
    v_job.id, v_org_id, v_payload ->> 'name', v_payload ->> 'description', v_params
  );
  if v_params ?| '{target_group,target_filter}' then
    perform jobsdb.enrol_contacts(v_job.id);
    insert into jobsdb.planned_jobs (job_id, org_id) values (v_job.id, v_org_id);
    perform jobsdb.take_plan(v_job.id);
  end if;

  select j.* into v_job from public.jobs as j where j.id = v_job.id;
  return v_job;
end;
$$;
revoke all on function jobsdb.create_job(jsonb) from public, anon, authenticated, service_role;
grant execute on function jobsdb.create_job(jsonb) to authenticated, service_role;

comment on function jobsdb.create_job(jsonb) is
'Body of public.create_job.
Source:  sql/functions/campaign/create_job.sql';

create or replace function public.create_job(
  jsonb
)
returns public.jobs
language sql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
begin atomic
  select j from jobsdb.create_job($1) as j;
end;
revoke all on function public.create_job(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.create_job(jsonb) to authenticated, service_role;

comment on function public.create_job(jsonb) is
'Creates a job, freezes its audience and plans batch 0, all or nothing: {"name", "description", "params", "idempotency_key", "org_id"}. Its one argument has no name, so that PostgREST hands it the body as it is.
Units:   params as jobs.params; idempotency_key: asked again with it, the same job is returned and nothing is done; org_id: left away for the personal organisation, needed for the service role.
Returns: the job, pending.
Errors:  JB010 with all problems at once; JB012 too large or too deep; JB020 the organisation is not yours.
Source:  sql/functions/campaign/create_job.sql';
