-- 7250 The outcome of every e-mail is known.
-- so: its campaign cannot end, and its contact gets nothing more
--
-- The sender died while the provider was asked. Only somebody who has looked there can tell.
select
  'warn' as state,
  format('e-mail %s may have gone out or not: %s', s.id, s.reason) as sentence,
  format(
    'Ask the provider, then decide, as a person: select resolve_unknown(%s, ''delivered'');'
    || ' or ''resend'', or ''cancel''',
    s.id
  ) as remedy
from jobsdb.sends as s
where s.state = 'unknown'
order by s.id
limit 20;
