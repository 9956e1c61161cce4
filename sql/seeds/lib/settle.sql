-- The provider has taken what it was asked to send; what has nothing left to do ends.
select public.settle_send(s.id, s.lease_token, 'sent', 'sample', left(s.idempotency_key, 24))
from jobsdb.sends as s
where s.job_id = current_setting('seed.job')::uuid and s.state = 'dispatching'
order by s.id;

-- What tick() does for every campaign, for this one.
select public.settle_job(current_setting('seed.job')::uuid);
