-- 6340 Every replication slot is in use.
-- so: the server keeps log, and perhaps dead rows, for somebody who does not come
select
  case when s.xmin is not null or s.catalog_xmin is not null then 'bad' else 'warn' end as state,
  format('replication slot %s is not in use', s.slot_name) || case
    when s.xmin is not null or s.catalog_xmin is not null then ' and holds dead rows back' else ''
  end as sentence,
  format('select pg_drop_replication_slot(%L);', s.slot_name) as remedy
from pg_replication_slots as s
where not s.active and not s.temporary
order by s.slot_name;
