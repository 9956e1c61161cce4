-- 4280 Bound contacts can be read.
-- so: no campaign can be created for them, and none can be erased
select
  s.relation as object,
  'the columns that were bound' as missing,
  jobsdb.contact_problem() as extra,
  'Bind it as it is now: select jobsdb.bind_host_contacts(…), or nothing: (null).' as fix
from jobsdb.contact_source as s
where jobsdb.contact_problem() is not null;
