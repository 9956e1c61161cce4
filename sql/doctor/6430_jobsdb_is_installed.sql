-- 6430 jobsdb is installed.
-- so: there is nothing here to run campaigns with
select
  'warn' as state,
  'jobsdb is not installed in this database' as sentence,
  'jobsdb migrate' as remedy
where not ($1 ->> 'installed')::boolean;
