-- after sent, as service
select jsonb_pretty(tick()) as tick;
