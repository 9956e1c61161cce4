-- after claimed, as service
select heartbeat_tasks('{{task}}', '{lease}');
