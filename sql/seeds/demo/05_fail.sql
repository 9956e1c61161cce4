-- One of them fails: the model does not answer in time.
-- as: service
update job_tasks
set
  status = 'error',
  error_message = 'API timeout',
  retry_count = retry_count + 1,
  finished_at = now()
where job_id = current_setting('demo.job')::uuid and step = 3;
