-- 4250 Nothing was sent that nobody approved.
-- so: an e-mail went out, or is about to, with words that no person has said yes to
select
  format('send %s', s.id) as object,
  'a decision "approved" about this content in jobsdb.card_reviews' as missing,
  format('state %s', s.state) as extra,
  format(
    'update jobsdb.sends set state = ''cancelled'' where id = %s and state = ''queued'';', s.id
  ) as fix
from jobsdb.sends as s
inner join public.jobs as j on s.job_id = j.id and s.org_id = j.org_id
where
  s.state in ('queued', 'leased', 'dispatching', 'sent', 'unknown')
  and j.params -> 'review_mode' is distinct from 'false'::jsonb
  and s.provider is distinct from 'by hand'  -- of a time without review
  and not exists (
    select from jobsdb.card_reviews as r
    where
      r.card_id = s.card_id
      and r.org_id = s.org_id
      and r.decision = 'approved'
      and r.content_hash = s.content_hash
  )
order by object
limit 100;
