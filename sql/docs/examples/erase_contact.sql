-- after sent, as tenant
select erase_contact('{org}', 'ann');
