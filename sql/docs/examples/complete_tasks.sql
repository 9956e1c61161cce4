-- after claimed, as service
select complete_tasks('{{task}}', '{lease}', array['{"cards": 2}'::jsonb]);
