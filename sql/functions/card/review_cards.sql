-- bundle 4
-- As the caller, in plain SQL: the host's policies and jobsdb's guards rule here as everywhere. The
-- service role acts for a person it names; while it does, the person is auth.uid(). Of what type a
-- card's id and state are is the host's business: hence the literals and the casts.
create or replace function public.review_cards(
  card_ids text[],
  expected_hashes text[],
  decision text,
  reviewer uuid default null,
  comment text default null
)
returns table (card_id text, outcome text)
language plpgsql
volatile
parallel unsafe
security invoker
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_sub text := current_setting('request.jwt.claim.sub', true);
  v_type text := (
    select format_type(a.atttypid, a.atttypmod)
    from pg_attribute as a
    where a.attrelid = 'public.kanban_cards'::regclass and a.attname = 'id'
  );
  v_id public.kanban_cards.id%type;
  v_ids text[] := '{}';
  v_outcomes text[] := array_fill(
    null::text, array[coalesce(cardinality(review_cards.card_ids), 0)]
  );
  v_todo text[] := '{}';
  v_done text[];
  v_asked record;
  v_card record;
  v_task record;
begin
  if (review_cards.decision in ('approve', 'reject', 'redraft')) is not true then
    raise exception using
      errcode = 'JB011',
      message = format('"%s" is no decision', coalesce(review_cards.decision, 'null')),
      detail = 'A card is approved, rejected or sent back to be drafted again.',
      hint = 'Use approve, reject or redraft.';
  end if;
  if cardinality(review_cards.card_ids) > 10000 then
    raise exception using
      errcode = 'JB050',
      message = 'too many cards in one call',
      detail = format('There are %s; at most 10000.', cardinality(review_cards.card_ids)),
      hint = 'Decide on fewer at once.';
  end if;
  if (
    array_ndims(review_cards.card_ids) = 1
    and array_dims(review_cards.card_ids) = array_dims(review_cards.expected_hashes)
  ) is not true and (review_cards.card_ids = '{}') is not true then
    raise exception using
      errcode = 'JB011',
      message = 'every card needs the hash of what was shown',
      detail = format(
        'There are %s cards and %s hashes.',
        coalesce(cardinality(review_cards.card_ids), 0),
        coalesce(cardinality(review_cards.expected_hashes), 0)
      ),
      hint = 'Send card_id and content_hash of the same rows of review_queue.';
  end if;
  if auth.uid() is null and not pg_has_role('service_role', 'MEMBER') then
    raise exception using
      errcode = 'JB003',
      message = 'nobody is there who could decide',
      detail = 'The caller has no auth.uid().',
      hint = 'Sign in.';
  end if;
  if auth.uid() is not null and review_cards.reviewer <> auth.uid() then
    raise exception using
      errcode = 'JB003',
      message = format('"%s" cannot decide here', review_cards.reviewer),
      detail = 'Whoever is signed in decides alone.',
      hint = 'Leave reviewer away.';
  end if;

  -- What is no id at all is nobody's card.
  for v_asked in
    select a.card_id from unnest(review_cards.card_ids) with ordinality as a (card_id, place)
    order by a.place
  loop
    begin
      v_id := v_asked.card_id;
      v_ids := v_ids || v_id::text;
    exception
      when data_exception or integrity_constraint_violation then
        v_ids := v_ids || null::text;
    end;
  end loop;
  execute format(
    'select from public.kanban_cards where id = any($1::%s[]) order by id for no key update', v_type
  ) using v_ids;

  for v_asked in
    select a.place, a.id, a.hash
    from unnest(v_ids, review_cards.expected_hashes) with ordinality as a (id, hash, place)
    order by a.place
  loop
    select q.org_id, q.job_id, q.task_id, q.content, q.content_hash
    into v_card
    from public.review_queue as q
    where q.card_id = v_asked.id;
    if v_card.content_hash is null then
      v_id := v_asked.id;
      v_outcomes[v_asked.place] := case
        when exists (
          select from public.kanban_cards as c
          inner join public.jobs as j on j.id = c.job_id and j.org_id = c.org_id
          where c.id = v_id
        ) then 'decided'
        else 'not_found'
      end;
      continue;
    elsif v_card.content_hash is distinct from v_asked.hash then
      v_outcomes[v_asked.place] := 'changed';
      continue;
    end if;
    if review_cards.decision = 'redraft' then
      select t.id, case when t.input ->> 'redraft' ~ '^[0-9]{1,4}$' then (t.input ->> 'redraft')::int
        else 0 end as redrafts
      into v_task
      from public.job_tasks as t
      where t.id = v_card.task_id and t.kind = 'draft_email';
      if v_task.id is null or v_task.redrafts >= 3 then
        v_outcomes[v_asked.place] := case
          when v_task.id is null then 'not_drafted' else 'redrafted_too_often'
        end;
        continue;
      end if;
    end if;
    if auth.uid() is null then
      perform jobsdb.check_reviewer(v_card.org_id, review_cards.reviewer);
    end if;
    v_todo := v_todo || v_asked.id;
  end loop;

  -- All in one statement: counted once, however many they are.
  perform set_config('jobsdb.review_comment', coalesce(review_cards.comment, ''), true);
  if review_cards.decision = 'redraft' then
    perform set_config('jobsdb.redraft', to_jsonb(v_todo)::text, true);
  end if;
  if auth.uid() is null and v_todo <> '{}' then
    perform set_config('request.jwt.claim.sub', review_cards.reviewer::text, true);
  end if;
  execute format(
    'with decided as (
      update public.kanban_cards set state = %L where id = any($1::%s[]) returning id::text as id
    )
    select coalesce(array_agg(d.id), ''{}'') from decided as d',
    case review_cards.decision when 'approve' then 'approved' else 'rejected' end,
    v_type
  ) into v_done using v_todo;

  if review_cards.decision = 'redraft' then
    for v_asked in select d.id from unnest(v_done) as d (id) loop
      v_id := v_asked.id;
      loop
        begin
          insert into public.job_tasks (job_id, batch, step, kind, input, depends_on)
          select
            t.job_id,
            t.batch,
            (select max(m.step) + 1 from public.job_tasks as m
              where m.job_id = t.job_id and m.batch = t.batch),
            'draft_email',
            t.input || jsonb_build_object(
              'contact_ids',
              jsonb_build_array(coalesce(
                to_jsonb(c.*) #>> '{content,contact_id}', lower(to_jsonb(c.*) #>> '{content,to}')
              )),
              'redraft_of', v_asked.id,
              'redraft',
              1 + case when t.input ->> 'redraft' ~ '^[0-9]{1,4}$'
                then (t.input ->> 'redraft')::int else 0 end,
              'comment', review_cards.comment
            ),
            '{}'
          from public.kanban_cards as c
          inner join public.job_tasks as t on t.id = c.task_id
          where c.id = v_id;
          exit;
        exception
          when unique_violation then
            null;  -- somebody took the step meanwhile: the next one
        end;
      end loop;
    end loop;
  end if;
  perform set_config('jobsdb.review_comment', '', true);
  perform set_config('jobsdb.redraft', '', true);
  perform set_config('request.jwt.claim.sub', coalesce(v_sub, ''), true);

  return query
  select
    a.card_id,
    case
      when v_outcomes[a.place] is not null then v_outcomes[a.place]
      when v_ids[a.place] <> all(v_done) then 'not_found'
      when row_number() over (partition by v_ids[a.place] order by a.place) > 1 then 'decided'
      else 'ok'
    end
  from unnest(review_cards.card_ids) with ordinality as a (card_id, place)
  order by a.place;
end;
$$;
revoke all on function public.review_cards(text[], text[], text, uuid, text)
from public, anon, authenticated, service_role;
grant execute on function public.review_cards(text[], text[], text, uuid, text)
to authenticated, service_role;

comment on function public.review_cards(text[], text[], text, uuid, text) is
'Decides on cards of review_queue, and only on what was shown: a card whose content has another hash by now is left alone.
Units:   decision approve, reject or redraft (rejects it and plans a task that drafts it anew with the comment, at most three times); reviewer: the person, for the service role, a member of the organisation; comment is cut at 1,000 characters. At most 10,000 cards.
Returns: a row a card: ok, changed (other content than shown), decided (not waiting any more), not_found, not_drafted (nothing to draft anew) or redrafted_too_often.
Errors:  JB003 nobody decides, or four eyes are wanted; JB011 bad argument; JB040 the job is finished; JB050 too many.
Source:  sql/functions/card/review_cards.sql';
