-- 6010 The server takes changes.
-- so: workers, reviewers and deployments fail
--
-- Says as well who asks, and whether a pooler stands between: jobsdb works through one.
select
  case when w.is_replica then 'bad' else 'ok' end as state,
  format('connected as %s to database %s, %s', w.caller, current_database(), w.way) || case
    when w.is_replica then ', on a read replica: nothing can be changed here' else ''
  end as sentence,
  case when w.is_replica then 'Connect to the primary server.' end as remedy
from (
  select
    pg_is_in_recovery() as is_replica,
    case
      when session_user = current_user then session_user
      else format('%s (acting as %s)', session_user, current_user)
    end as caller,
    case when ($1 ->> 'pooled')::boolean then 'through a connection pooler' else 'directly' end
      as way
) as w;
