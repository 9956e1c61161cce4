-- after claimed, as service
select fail_tasks('{{task}}', '{lease}', retry => false);

-- shown, as service
select retry_job('{job}');
