-- bundle 1
create or replace function jobsdb.guard_job_insert()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
begin
  if tg_relid <> 'public.jobs'::regclass then
    perform jobsdb.refuse_trigger('public.jobs');
  end if;

  if new.status <> 'pending' then
    raise exception using
      errcode = 'JB001',
      message = format('a new job cannot be "%s"', new.status),
      detail = 'Every job starts as "pending".',
      hint = 'Insert it without a status, then call transition_job_status(id, ''running'').';
  end if;
  perform jobsdb.check_job(new.name, new.params);
  new.created_by := coalesce(new.created_by, auth.uid());
  return new;
end;
$$;
revoke all on function jobsdb.guard_job_insert() from public, anon, authenticated, service_role;

comment on function jobsdb.guard_job_insert() is
'Trigger: a new job is pending, has a usable name and params, and knows who created it.
Returns: the row.
Errors:  JB001 not pending; JB010 bad name or params; JB012 too large or too deep.
Source:  sql/functions/job/guard_job_insert.sql';
