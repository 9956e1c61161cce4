-- Batch 1 is planned from the results: a call for each who answered.
-- as: service
with sent as (
  select
    c.job_id,
    split_part(c.content ->> 'to', '@', 1) as contact
  from kanban_cards as c
  where c.job_id = current_setting('demo.job')::uuid and c.state = 'done'
)

insert into job_tasks (job_id, batch, step, kind, input, depends_on)
select
  s.job_id,
  1 as batch,
  row_number() over (order by s.contact) as step,
  coalesce(a.kind, 'follow_up') as kind,
  jsonb_build_object('contact_id', s.contact)
  || coalesce(a.input, '{"notes": "no answer yet"}') as input,
  '{}' as depends_on
from sent as s
left join (
  values
  ('ada.moss', 'schedule_call', '{"datetime": "2026-01-12T15:00:00Z", "duration": 20}'::jsonb),
  ('fay.chen', 'schedule_call', '{"datetime": "2026-01-12T16:30:00Z", "duration": 20}')
) as a (contact, kind, input) on s.contact = a.contact;
