-- after claimed, as service
select fail_tasks('{{task}}', '{lease}', '{"API timeout"}');

select
  status,
  error_message,
  retry_count
from job_tasks
where id = '{task}';
