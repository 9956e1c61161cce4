-- Ana uploads forty contacts; not all of them can be written to.
-- as: tenant
with people as (
  select
    first.name as first_name,
    last.name as last_name,
    lower(format('demo/%s.%s', first.name, last.name)) as contact_key,
    lower(format('%s.%s@%s.example', first.name, last.name, last.name)) as email
  from unnest(array['Ada', 'Bea', 'Cem', 'Dora', 'Emil', 'Fay', 'Gil', 'Hana']) as first (name)
  cross join unnest(array['Moss', 'Lund', 'Aydin', 'Hill', 'Roth']) as last (name)
)

select
  upsert_contacts(
    jsonb_agg(
      jsonb_build_object(
        'contact_key', p.contact_key,
        'email', case p.contact_key
          when 'demo/gil.moss' then null
          when 'demo/hana.lund' then null
          when 'demo/bea.aydin' then 'bea.aydin at aydin.example'
          when 'demo/cem.lund' then 'cem.hill@hill.example'
          when 'demo/emil.hill' then 'emil.hill@closed.example'
          else p.email
        end,
        'groups', array['renewals'],
        'attributes', jsonb_build_object('company', p.last_name || ' & Sons')
        || case
          when p.contact_key = 'demo/dora.hill' then '{}'
          else jsonb_build_object('first_name', p.first_name)
        end
      )
    )
  )
from people as p;
