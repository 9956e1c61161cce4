-- after asked, as service
select settle_send('{send}', '{send_lease}', 'sent', 'resend', 'msg_1');
