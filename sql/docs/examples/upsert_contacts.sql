-- after nothing, as tenant
select
  upsert_contacts(
    '[{"contact_key": "ann", "email": "ann@example.com", "groups": ["AMC"],
       "attributes": {"first_name": "Ann"}}]'
  );
