-- after asked, as service, 1 day later
select tick();

-- shown, as tenant
select resolve_unknown('{send}', 'delivered');
