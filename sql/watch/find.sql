-- The jobs that a word can mean: the one with this id, else those with this name, of which the open
-- ones come before the ended ones and the newest first.
-- $1 an id or a name.
select
  j.id::text as id,
  j.name,
  j.status::text as status,
  j.status in ('pending', 'running') as is_open
from public.jobs as j
where j.id::text = lower($1::text) or j.name = $1::text
order by
  j.id::text = lower($1::text) desc,
  j.status in ('pending', 'running') desc,
  j.created_at desc
limit 20;
