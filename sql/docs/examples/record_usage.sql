-- after claimed, as service
select record_usage('{job}', cost => 0.02, tokens_in => 1200, tokens_out => 300);
