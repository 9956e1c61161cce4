-- She starts it.
-- as: tenant
select transition_job_status(current_setting('demo.job')::uuid, 'running');
