-- It drafts from the template, or anew where Ana wants other words.
-- as: service
-- counts: drafts
-- hint: draft_cards fills the columns jobsdb knows; yours wants more. Play in a scratch database.
select assert_lease(
  current_setting('demo.task')::bigint, current_setting('demo.lease')::uuid
);

insert into kanban_cards (org_id, job_id, task_id, type, title, state, content)
select
  t.org_id,
  t.job_id,
  t.id,
  'draft_email' as type,
  c.title || ', again' as title,
  'in_review' as state,
  c.content || jsonb_build_object(
    'subject', 'One more year together?',
    'body', 'It has been a good year with you. ' || (c.content ->> 'body')
  ) as content
from job_tasks as t
inner join kanban_cards as c on t.input ->> 'redraft_of' = c.id::text
where t.id = current_setting('demo.task')::bigint;

-- Of contacts that have a card of this task already it makes none.
select draft_cards(
  current_setting('demo.task')::bigint, current_setting('demo.lease')::uuid
);

select complete_tasks(
  array[current_setting('demo.task')::bigint], current_setting('demo.lease')::uuid
);

select
  'drafted' as word,
  count(*) as number
from kanban_cards
where task_id = current_setting('demo.task')::bigint;
