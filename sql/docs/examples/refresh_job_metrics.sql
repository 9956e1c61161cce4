-- after sent, as service
select refresh_job_metrics();
