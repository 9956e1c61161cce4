-- bundle 4
-- What an agent does that writes nothing of its own: the template of the task's touch, for every
-- contact of the task that has no card of it yet.
create or replace function public.draft_cards(
  task_id bigint,
  lease_token uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_task public.job_tasks;
  v_params jsonb;
  v_rows int;
begin
  -- The lease alone is shared: called twice at once, the second waits and finds the cards.
  perform from public.job_tasks as t where t.id = draft_cards.task_id for no key update;
  perform public.assert_lease(draft_cards.task_id, draft_cards.lease_token);
  select t.* into v_task from public.job_tasks as t where t.id = draft_cards.task_id;
  select j.params
  into v_params
  from public.jobs as j
  where j.id = v_task.job_id and j.org_id = v_task.org_id;
  if (
    v_task.kind = 'draft_email'
    and v_params -> 'templates' ? (v_task.input ->> 'template')
  ) is not true then
    raise exception using
      errcode = 'JB011',
      message = format('task "%s" has no template to draft from', v_task.id),
      detail = format(
        'It is of kind %s with template %s.',
        v_task.kind, coalesce(v_task.input ->> 'template', 'null')
      ),
      hint = 'Let the agent write these e-mails, or add the template to params.templates.';
  end if;

  insert into public.kanban_cards (org_id, job_id, task_id, type, title, state, content)
  select
    v_task.org_id,
    v_task.job_id,
    v_task.id,
    'draft_email',
    left(
      format('Email: %s - %s', c.email, v_task.input ->> 'template'),
      (
        -- A host may have a shorter title.
        select case when a.atttypmod > 4 then least(a.atttypmod - 4, 200) else 200 end
        from pg_attribute as a
        where a.attrelid = 'public.kanban_cards'::regclass and a.attname = 'title'
      )
    ),
    'in_review',
    jsonb_build_object(
      'to', c.email,
      'subject', r.subject,
      'body', r.body,
      'contact_id', c.contact_key,
      'missing', r.missing
    )
  from jobsdb.job_contacts as c
  cross join lateral jobsdb.render_template(
    v_params -> 'templates' -> (v_task.input ->> 'template'),
    jobsdb.variables_of(
      v_params || jsonb_build_object(
        'variables',
        coalesce(
          nullif(v_task.input -> 'variables', 'null'), v_params -> 'variables', '{}'
        )
      ),
      c.attributes,
      c.contact_key,
      c.email
    ),
    v_params ->> 'escape'
  ) as r
  where c.job_id = v_task.job_id
    and c.org_id = v_task.org_id
    and c.state = 'active'
    and (
      v_task.input -> 'contact_ids' ? c.contact_key
      or v_task.input -> 'contact_ids' ? c.address
    )
    and not exists (
      select from public.kanban_cards as k
      where k.task_id = v_task.id
        and to_jsonb(k.*) #>> '{content,contact_id}' = c.contact_key
    )
  order by c.contact_key collate "C";
  get diagnostics v_rows = row_count;
  if not jobsdb.reviews_cards(v_params) then
    update public.kanban_cards as k
    set state = 'approved'
    where k.task_id = v_task.id
      and k.org_id = v_task.org_id
      and to_jsonb(k.*) #> '{content,missing}' = '[]'
      and jobsdb.card_state(to_jsonb(k.*)) = 'in_review';
  end if;
  return v_rows;
end;
$$;
revoke all on function public.draft_cards(bigint, uuid)
from public, anon, authenticated, service_role;
grant execute on function public.draft_cards(bigint, uuid) to service_role;

comment on function public.draft_cards(bigint, uuid) is
'Writes the cards of a claimed draft_email task from its template: one for each of its contacts whose sequence goes on, ready for a person. Without review mode they are approved at once, but never one with a variable missing. Service role only.
Returns: number of cards made; those that are there already are left.
Errors:  JB011 no template; JB031 the lease is not the caller''s; 23502 the host''s table wants more columns: insert the cards yourself.
Source:  sql/functions/campaign/draft_cards.sql';
