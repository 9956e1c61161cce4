-- Batch 0 is planned: two drafts, two sends that wait for approval.
-- as: tenant
insert into job_tasks (job_id, batch, step, kind, input, depends_on)
select
  current_setting('demo.job')::uuid as job_id,
  0 as batch,
  p.step,
  p.kind,
  p.input,
  p.depends_on
from (
  values
  (
    1,
    'draft_email',
    jsonb_build_object(
      'contact_ids', array['ada.moss', 'bea.lund', 'cem.aydin'],
      'template', 'intro',
      'variables', jsonb_build_object('company_name', 'Acme')
    ),
    '{}'::int[]
  ),
  (2, 'send_email', jsonb_build_object('wait_for_approval', true), '{1}'),
  (
    3,
    'draft_email',
    jsonb_build_object(
      'contact_ids', array['dora.hill', 'emil.roth', 'fay.chen'],
      'template', 'intro',
      'variables', jsonb_build_object('company_name', 'Acme')
    ),
    '{}'
  ),
  (4, 'send_email', jsonb_build_object('wait_for_approval', true), '{3}')
) as p (step, kind, input, depends_on);
