-- What an adoption has done: how much was taken over, what else was done, what was left or changed.
select
  (select count(*) from jobsdb_before.adopted_jobs as a where a.is_adopted) as jobs,
  (select count(*) from jobsdb_before.task_ids as i where i.is_adopted) as tasks,
  (select count(*) from jobsdb_before.card_links as c where c.is_taken) as cards,
  (select count(*) from jobsdb_before.run_links as r where r.is_taken) as runs,
  array(select s.sentence from jobsdb_before.said as s order by s.id) as said,
  coalesce((
    select
      jsonb_agg(
        jsonb_build_array(
          n.entity,
          n.entity_id,
          coalesce(n.job_id::text, ''),
          n.reason || coalesce(' (' || n.sqlstate || ')', '')
        )
        order by n.id
      )
    from jobsdb_before.not_adopted as n
  ), '[]') as not_adopted;
