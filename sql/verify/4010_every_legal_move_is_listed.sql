-- 4010 Every legal move is listed.
-- so: a move the contract allows is refused; one that was added is allowed against the contract
-- extra: warning
-- strict: failure
with expected as (
  select
    f.fact ->> 0 as object,
    f.fact ->> 1 as definition
  from jsonb_array_elements($1 -> 'facts') as f (fact)
),

actual as (
  select
    format('%s %s → %s', t.entity, t.from_status, t.to_status) as object,
    'legal' as definition
  from jobsdb.transitions as t
)

select
  coalesce(e.object, a.object) as object,
  e.definition as missing,
  a.definition as extra,
  case
    when a.object is null
      then
        regexp_replace(
          e.object,
          '^(\S+) (\S+) → (\S+)$',
          'insert into jobsdb.transitions values (''\1'', ''\2'', ''\3'', ''…'');'
        )
    else regexp_replace(
      a.object,
      '^(\S+) (\S+) → (\S+)$',
      'delete from jobsdb.transitions'
      || ' where (entity, from_status, to_status) = (''\1'', ''\2'', ''\3'');'
    )
  end as fix
from expected as e
full join actual as a on e.object = a.object
where e.object is null or a.object is null
order by object;
