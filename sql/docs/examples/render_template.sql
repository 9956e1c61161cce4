-- after nothing, as tenant
select *
from render_template(
  '{"subject": "Hello {{first_name}}", "body": "From {{company|us}}: {{offer}}"}',
  '{"first_name": "Ann", "company": "<b>AMC</b>"}'
);
