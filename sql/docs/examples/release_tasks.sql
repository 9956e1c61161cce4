-- after claimed, as service
select release_tasks('{{task}}', '{lease}');
