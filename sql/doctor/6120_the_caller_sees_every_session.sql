-- 6120 The caller sees every session.
-- so: long transactions of others stay unseen
select
  'skip' as state,
  format('the sessions of others are hidden from %s', current_user) as sentence,
  format('grant pg_read_all_stats to %I;', current_user) as remedy
where not pg_has_role('pg_read_all_stats', 'usage');
