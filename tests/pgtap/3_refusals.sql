-- What is refused, by code and sentence.
begin;
set local search_path to public, tap;
select plan(31);
select tap.ann();

-- One job in every state; every move that is not listed is refused, the others are made.
create temp table held (status text primary key, id uuid) on commit drop;
with made as (
  insert into jobs (name)
  select s from unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as s
  returning id, name
)
insert into held select name, id from made;
update jobs set status = 'running' where name in ('running', 'succeeded', 'failed');
update jobs set status = name::job_status where name in ('succeeded', 'failed', 'cancelled');
select throws_ok(
  format('select transition_job_status(%L, %L)', h.id, n),
  'JB001', null,
  format('no way leads from %s to %s', h.status, n)
)
from held as h
cross join unnest('{pending,running,succeeded,failed,cancelled}'::text[]) as n
where h.status <> n
  and (h.status, n) not in (
    ('pending', 'running'), ('pending', 'cancelled'),
    ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled')
  )
order by h.status, n;
select throws_ok(
  format('update jobs set status = ''running'' where id = %L', h.id), 'JB001', null,
  'nor does plain SQL'
)
from held as h where h.status = 'failed';
select lives_ok(
  format('select transition_job_status(%L, %L)', h.id, h.status),
  format('from %s to %1$s is no move', h.status)
)
from held as h order by h.status;

select throws_ok(
  $$ select transition_job_status('00000000-0000-4000-8000-000000000000', 'running') $$, 'JB020',
  null, 'an unknown job is not found'
);
select throws_ok(
  $$ insert into jobs (name, params) values ('x', '{"batch_size": 0}') $$, 'JB010', null,
  'params that could never run'
);
select throws_ok(
  $$ insert into jobs (name, params) select 'x', jsonb_build_object('x', repeat('x', 1100000)) $$,
  'JB012', null, 'params of more than a megabyte'
);
select throws_ok(
  format(
    'insert into job_tasks (job_id, step, kind, input) values (%L, 1, ''dance'', ''{}'')', h.id
  ),
  'JB011', null, 'a kind of task that nobody knows'
)
from held as h where h.status = 'pending';
select throws_ok(
  format('insert into jobs (org_id, name) values (%L, ''x'')', gen_random_uuid()), '42501', null,
  'a job of another organisation'
);
select throws_ok(
  format('update jobs set tasks_done = 7 where id = %L', h.id), '42501', null, 'a counter by hand'
)
from held as h where h.status = 'pending';
select throws_ok('select * from jobsdb.events', '42501', null, 'the private schema');
select throws_ok('delete from jobs', '42501', null, 'deleting');
select throws_ok('truncate jobs cascade', '42501', null, 'truncating');
select throws_ok(
  $$ select * from claim_tasks('me') $$, '42501', null, 'work of agents, by a tenant'
);

select * from finish();
rollback;
