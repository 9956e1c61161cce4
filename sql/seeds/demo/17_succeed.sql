-- Nothing is left to do or to decide: the campaign has succeeded.
-- as: service
select transition_job_status(current_setting('demo.job')::uuid, 'succeeded');
