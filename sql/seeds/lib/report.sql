-- The provider reports as delivered whatever has not come back.
select
  public.record_send_event(
    'sample', left(s.idempotency_key, 24) || '-delivered', 'delivered', send_id => s.id
  )
from jobsdb.sends as s
where
  s.job_id = current_setting('seed.job')::uuid
  and s.state = 'sent'
  and not exists (
    select from jobsdb.send_events as e
    where e.send_id = s.id and e.event in ('delivered', 'bounce_hard', 'bounce_soft')
  );
