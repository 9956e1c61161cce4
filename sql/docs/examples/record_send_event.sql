-- after sent, as service
select record_send_event('resend', 'evt_1', 'reply', provider_message_id => 'msg_1');
