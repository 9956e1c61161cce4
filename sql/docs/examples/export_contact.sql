-- after sent, as tenant
select jsonb_pretty(export_contact('{org}', 'ann') -> 'contact') as contact;
