-- bundle 2
-- Links the host application's cards and agent runs to jobs, and keeps what people decided.
--
-- A host table stays the host's: it gets nullable columns, constraints, indexes and triggers whose
-- names begin with jobsdb_ (the triggers: tNN_jobsdb_), and nothing of it is retyped, revoked or
-- dropped. Here every lock is short: foreign keys are added NOT VALID and indexes come afterwards
-- (jobsdb.adoption_steps() says what is left), unless jobsdb has just made the table itself.
do $$
begin
  if current_setting('jobsdb.runner', true) is distinct from pg_current_xact_id()::text then
    raise exception using
      errcode = 'JB090',
      message = 'this migration cannot be run by hand',
      detail = 'It is one part of a deployment that happens in one transaction or not at all.',
      hint = 'Run `jobsdb migrate`, or write hand-installable files with `jobsdb bundle DIR`.';
  end if;
end;
$$;

insert into jobsdb.host_tables (table_name, made_by_jobsdb)
values ('kanban_cards', false), ('agent_runs', false)
on conflict do nothing;

-- A host table of a shape that cannot carry the links is refused before anything is touched.
do $$
declare
  v_problem text;
  v_link record;
  v_check record;
  v_taken boolean;
begin
  with wanted (table_name, column_name, type_names, needed) as (
    values
    ('kanban_cards', 'id', null::text[], true),
    ('kanban_cards', 'org_id', '{uuid}', true),
    ('kanban_cards', 'type', null, true),
    ('kanban_cards', 'title', null, true),
    ('kanban_cards', 'state', null, true),
    ('kanban_cards', 'content', '{jsonb,json}', true),
    ('kanban_cards', 'job_id', '{uuid}', false),
    ('kanban_cards', 'task_id', '{bigint}', false),
    ('agent_runs', 'id', null, true),
    ('agent_runs', 'org_id', '{uuid}', false),
    ('agent_runs', 'job_id', '{uuid}', false)
  ),
  present as (
    select
      w.table_name,
      w.column_name,
      w.type_names,
      w.needed,
      a.attnotnull,
      pg_catalog.format_type(a.atttypid, null) as type_name
    from wanted as w
    left join pg_catalog.pg_attribute as a
      on a.attrelid = to_regclass('public.' || w.table_name)
      and a.attname = w.column_name
      and not a.attisdropped
  ),
  problems as (
    select format('public.%s is not an ordinary table', h.table_name) as problem
    from jobsdb.host_tables as h
    inner join pg_catalog.pg_class as c on c.oid = to_regclass('public.' || h.table_name)
    where c.relkind <> 'r'
    union all
    select format('public.%s belongs to %s', h.table_name, pg_catalog.pg_get_userbyid(c.relowner))
    from jobsdb.host_tables as h
    inner join pg_catalog.pg_class as c on c.oid = to_regclass('public.' || h.table_name)
    where not pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')
    union all
    select format('public.%s forces row-level security on its owner', h.table_name)
    from jobsdb.host_tables as h
    inner join pg_catalog.pg_class as c on c.oid = to_regclass('public.' || h.table_name)
    inner join pg_catalog.pg_roles as r on r.rolname = current_user
    where c.relrowsecurity
      and not (r.rolsuper or r.rolbypassrls)
      and (c.relforcerowsecurity or not pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE'))
    union all
    select format('public.%s has no column %s', p.table_name, p.column_name)
    from present as p
    where p.needed and p.type_name is null
    union all
    select format(
      'public.%s.%s is %s, not %s', p.table_name, p.column_name, p.type_name, p.type_names[1]
    )
    from present as p
    where p.type_name <> all(p.type_names)
    union all
    select format('public.%s.%s is not nullable', p.table_name, p.column_name)
    from present as p
    where p.column_name in ('job_id', 'task_id') and p.attnotnull
    union all
    select format('public.kanban_cards.state has no label %s', w.word)
    from unnest(array['in_review', 'approved', 'rejected', 'done']) as w (word)
    inner join pg_catalog.pg_attribute as a
      on a.attrelid = to_regclass('public.kanban_cards')
      and a.attname = 'state'
      and not a.attisdropped
    inner join pg_catalog.pg_type as t on t.oid = a.atttypid and t.typtype = 'e'
    where not exists (
      select from pg_catalog.pg_enum as e where e.enumtypid = t.oid and e.enumlabel = w.word
    )
    union all
    -- The same id twice would be two cards with one review.
    select 'public.kanban_cards.id is unique only together with other columns'
    from pg_catalog.pg_index as i
    inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attname = 'id'
    where i.indrelid = to_regclass('public.kanban_cards') and i.indisunique and i.indpred is null
    having bool_or(a.attnum = any(i.indkey)) and not bool_or(i.indkey::text = a.attnum::text)
    union all
    -- Triggers do not see it.
    select format('public.kanban_cards.%s is virtual', a.attname)
    from pg_catalog.pg_attribute as a
    where a.attrelid = to_regclass('public.kanban_cards')
      and a.attname in ('type', 'title', 'state', 'content')
      and a.attgenerated = 'v'
  )
  select string_agg(problems.problem, '; ' order by problems.problem)
  into v_problem
  from problems;

  -- What checks and domains say of our states is tried.
  for v_check in
    select
      a.atttypid::regtype as type_name,
      coalesce(pg_catalog.pg_get_expr(c.conbin, c.conrelid), 'true') as expression,
      w.word
    from pg_catalog.pg_attribute as a
    cross join unnest(array['in_review', 'approved', 'rejected', 'done']) as w (word)
    left join pg_catalog.pg_constraint as c
      on c.conrelid = a.attrelid and c.contype = 'c' and c.conkey = array[a.attnum]
    where v_problem is null
      and a.attrelid = to_regclass('public.kanban_cards')
      and a.attname = 'state'
  loop
    begin
      execute format(
        'select (%s) is not false from (select %L::%s as state) as kanban_cards',
        v_check.expression, v_check.word, v_check.type_name
      ) into v_taken;
    exception
      when others then
        v_taken := false;
    end;
    if not v_taken then
      v_problem := format('public.kanban_cards.state does not take %s', v_check.word);
      exit;
    end if;
  end loop;

  if v_problem is not null then
    raise exception using
      errcode = 'JB092',
      message = 'the host application''s tables cannot carry the links to jobs',
      detail = v_problem || '.',
      hint = 'Change the table (or the role that deploys) and try again; nothing was changed.';
  end if;

  -- A column of our name that the host uses for links of its own.
  for v_link in
    select h.table_name, a.attname
    from jobsdb.host_tables as h
    inner join pg_catalog.pg_attribute as a on a.attrelid = to_regclass('public.' || h.table_name)
    where a.attname in ('job_id', 'task_id') and not a.attisdropped
  loop
    execute format(
      'select exists (select from public.%I where %I is not null)',
      v_link.table_name,
      v_link.attname
    ) into v_taken;
    if v_taken then
      raise exception using
        errcode = 'JB092',
        message = 'the host application''s tables cannot carry the links to jobs',
        detail = format('public.%s.%s has values of the host.', v_link.table_name, v_link.attname),
        hint = 'Rename the column and try again; nothing was changed.';
    end if;
  end loop;
end;
$$;

-- A host may have the columns already. Whose they are is kept in their comments: uninstalling drops
-- only what was added, and takes back only the comments that were given.
do $$
declare
  v_link record;
begin
  for v_link in
    select
      l.*,
      a.attnum is not null as is_there,
      pg_catalog.col_description(a.attrelid, a.attnum) as host_says
    from (
      values
      ('kanban_cards', 'job_id', 'uuid', 'The job it belongs to, null when none'),
      (
        'kanban_cards', 'task_id', 'bigint',
        'The task that made it, one of that job''s; null when none'
      ),
      ('agent_runs', 'job_id', 'uuid', 'The job this run worked on, null when none')
    ) as l (table_name, column_name, type_name, says)
    left join pg_catalog.pg_attribute as a
      on a.attrelid = to_regclass('public.' || l.table_name)
      and a.attname = l.column_name
      and not a.attisdropped
  loop
    if not v_link.is_there then
      execute format(
        'alter table public.%I add column %I %s',
        v_link.table_name, v_link.column_name, v_link.type_name
      );
    end if;
    if v_link.host_says is null then
      execute format(
        'comment on column public.%I.%I is %L',
        v_link.table_name,
        v_link.column_name,
        v_link.says
          || case when v_link.is_there then ' (used by jobsdb).' else ' (added by jobsdb).' end
      );
    end if;
  end loop;
end;
$$;

-- A link needs the organisation: a null there would let the composite key pass unchecked.
alter table public.kanban_cards
add constraint jobsdb_linked_card_has_org check (job_id is null or org_id is not null) not valid;

-- --------------------------------------------------------------------------- what a person decided

create table jobsdb.card_reviews (
  id bigint generated always as identity,
  org_id uuid not null,
  job_id uuid not null,
  card_id text not null,
  decision text not null,
  reviewer uuid,
  reviewer_role text not null,
  content_hash text not null,
  comment text,
  edited boolean not null default false,
  waiting_since timestamptz,
  decided_at timestamptz not null default clock_timestamp(),
  constraint card_reviews_pkey primary key (id),
  constraint decision_is_known check (decision in ('approved', 'rejected', 'in_review'))
);
alter table jobsdb.card_reviews enable row level security;
revoke all on jobsdb.card_reviews from public, anon, authenticated, service_role;
revoke all on sequence jobsdb.card_reviews_id_seq
from public, anon, authenticated, service_role;
create index card_reviews_of_card on jobsdb.card_reviews (card_id, id desc);
create index card_reviews_of_org on jobsdb.card_reviews (org_id, id desc);
create index card_reviews_of_job on jobsdb.card_reviews (job_id);

comment on table jobsdb.card_reviews is
'Every decision about a linked card, append-only: who approved or rejected exactly which content.';
comment on column jobsdb.card_reviews.id is 'Order of the decisions.';
comment on column jobsdb.card_reviews.org_id is 'The organisation.';
comment on column jobsdb.card_reviews.job_id is 'The job the card belonged to.';
comment on column jobsdb.card_reviews.card_id is 'The card, as text (a host''s card id may be of any type).';
comment on column jobsdb.card_reviews.decision is 'approved, rejected, or in_review when it was sent back.';
comment on column jobsdb.card_reviews.reviewer is 'auth.uid() of the person; null when no person was needed or identified.';
comment on column jobsdb.card_reviews.reviewer_role is 'The database role that decided.';
comment on column jobsdb.card_reviews.content_hash is 'SHA-256 (hex) over type, title, content and recipient as they were decided on: jobsdb.card_hash.';
comment on column jobsdb.card_reviews.comment is 'What the person wrote, through review_card; at most 1,000 characters.';
comment on column jobsdb.card_reviews.edited is 'The content was changed in approving it.';
comment on column jobsdb.card_reviews.waiting_since is 'Since when the card had been in the review queue; null: it was not.';
comment on column jobsdb.card_reviews.decided_at is 'When.';

create type jobsdb.card_count as (
  job_id uuid,
  org_id uuid,
  state text,
  cards bigint
);
revoke all on type jobsdb.card_count from anon, authenticated, service_role;

comment on type jobsdb.card_count is
'Change of the number of cards of one job in one state, as jobsdb.count_cards takes it.';

-- ------------------------------------------ foreign keys, in one place, after all tables they join

alter table public.kanban_cards
add constraint jobsdb_card_belongs_to_job_of_same_org
foreign key (job_id, org_id) references public.jobs (id, org_id)
on delete set null (job_id) not valid,
add constraint jobsdb_card_belongs_to_task
foreign key (task_id) references public.job_tasks (id) on delete set null not valid;

do $$
begin
  if exists (
    select from pg_catalog.pg_attribute as a
    where a.attrelid = 'public.agent_runs'::regclass and a.attname = 'org_id' and not a.attisdropped
  ) then
    alter table public.agent_runs
    add constraint jobsdb_run_belongs_to_job_of_same_org
    foreign key (job_id, org_id) references public.jobs (id, org_id)
    on delete set null (job_id) not valid;
  else
    alter table public.agent_runs
    add constraint jobsdb_run_belongs_to_job
    foreign key (job_id) references public.jobs (id) on delete set null not valid;
  end if;
end;
$$;
