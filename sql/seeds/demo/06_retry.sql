-- It is put back, and taken again.
-- as: service
update job_tasks
set
  status = 'pending',
  started_at = null,
  finished_at = null
where job_id = current_setting('demo.job')::uuid and status = 'error';

update job_tasks
set status = 'running'
where job_id = current_setting('demo.job')::uuid and kind = 'draft_email' and status = 'pending';
