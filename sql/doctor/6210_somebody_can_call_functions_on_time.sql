-- 6210 Somebody can call functions on time.
-- so: nobody takes back what lost workers held, and metrics grow old
--
-- No reproach without pg_cron: cron, a timer or a worker may call tick() as well.
select
  'ok' as state,
  case
    when x.installed_version is not null then format('pg_cron %s is installed', x.installed_version)
    when x.name is not null then 'pg_cron is not installed: cron or a worker calls tick()'
    else 'pg_cron is not to be had on this server: cron or a worker calls tick()'
  end as sentence,
  case when x.installed_version is null and x.name is not null then 'create extension pg_cron;' end
    as remedy
from (values (1)) as one (row_number)
left join pg_available_extensions as x on x.name = 'pg_cron';
