-- after sent, as tenant, 5 days later
select plan_next_batch('{job}');
