-- The agent takes the sends.
-- as: service
update job_tasks
set status = 'running'
where job_id = current_setting('demo.job')::uuid and kind = 'send_email';
