-- bundle 1
-- An error is what could never run; create_job and the insert of a job refuse it. A warning is what
-- the author may not have meant. Unknown keys are kept: the host may store its own.
create or replace function jobsdb.params_problems(
  params jsonb
)
returns table (path text, severity text, sentence text, hint text)
language plpgsql
stable
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
declare
  v_params jsonb := params_problems.params;
  v_empty constant jsonb := '{}';
  v_cadence jsonb := case
    when jsonb_typeof(v_params -> 'cadence') = 'object' then v_params -> 'cadence' else v_empty
  end;
  v_templates jsonb := case
    when jsonb_typeof(v_params -> 'templates') = 'object' then v_params -> 'templates' else v_empty
  end;
  v_window jsonb := case
    when jsonb_typeof(v_params -> 'send_window') = 'object' then v_params -> 'send_window'
    else v_empty
  end;
begin
  perform jobsdb.check_document('params', v_params);
  if jsonb_typeof(v_params) is distinct from 'object' then
    return query
    values ('', 'error', 'params is not an object', 'Write a JSON object; {} is the least.');
    return;
  end if;

  -- Of the wrong type.
  return query
  select k.key, 'error', format('%s is not %s', k.key, k.should_be), k.hint
  from (
    values
    ('review_mode', '{boolean}'::text[], 'true or false', 'Leave it away for true.'),
    ('four_eyes', '{boolean}', 'true or false', 'true: who created the job cannot approve.'),
    ('cadence', '{object}', 'an object', 'Write {"day0": true, "day4": true}.'),
    ('templates', '{object}', 'an object', 'Write {"intro": {"subject": "…", "body": "…"}}.'),
    ('target_filter', '{object}', 'an object', 'Write {"state": "FL"}; {} is everybody.'),
    ('target_group', '{string,array}', 'text or an array', 'Write "AMC" or ["AMC", "VIP"].'),
    ('variables', '{object}', 'an object', 'Write {"company_name": "…"}.'),
    ('stop_on', '{object}', 'an object', 'Write {"reply": false, "rejected": false}.'),
    ('budget', '{object}', 'an object', 'Write {"max_cost": 20, "max_tokens": 1000000}.'),
    ('mailbox', '{string}', 'text', 'Write the address of the sender.'),
    ('send_window', '{object}', 'an object', 'Write {"from": "09:00", "to": "17:00"}.')
  ) as k (key, types, should_be, hint)
  where v_params ? k.key and jsonb_typeof(v_params -> k.key) <> all(k.types);

  return query
  select 'batch_size', 'error', 'batch_size is not a whole number from 1 to 10000',
    'It is the number of contacts in one draft task; 10 when left away.'
  where v_params ? 'batch_size' and case
    when jsonb_typeof(v_params -> 'batch_size') = 'number'
      then (v_params ->> 'batch_size')::numeric not between 1 and 10000
        or (v_params ->> 'batch_size')::numeric % 1 <> 0
    else true
  end;

  return query
  select 'min_success_rate', 'error', 'min_success_rate is not a number from 0 to 1',
    'It is the part of the e-mails that has to go out; 0.5 when left away.'
  where v_params ? 'min_success_rate' and case
    when jsonb_typeof(v_params -> 'min_success_rate') = 'number'
      then (v_params ->> 'min_success_rate')::numeric not between 0 and 1
    else true
  end;

  return query
  select 'budget.' || b.key, 'error', format('%s of the budget is not a number', b.key),
    'Write {"max_cost": 20, "max_tokens": 1000000}.'
  from jsonb_each(
    case jsonb_typeof(v_params -> 'budget') when 'object' then v_params -> 'budget' else v_empty end
  ) as b
  where b.key in ('max_cost', 'max_tokens') and jsonb_typeof(b.value) <> 'number';

  return query
  select 'review_ttl', 'error', 'review_ttl is no number of hours', 'Write 72 for three days.'
  where v_params ? 'review_ttl' and case
    when jsonb_typeof(v_params -> 'review_ttl') = 'number'
      then (v_params ->> 'review_ttl')::numeric not between 0.001 and 100000
    else true
  end;

  return query
  select k.key, 'error', format('%s is neither %s', k.key, array_to_string(k.words, ' nor ')),
    format('%s when left away.', k.words[1])
  from (
    values ('escape', array['html', 'none']), ('on_missing', array['review', 'exclude'])
  ) as k (key, words)
  where v_params ? k.key and (v_params -> k.key) <> all(
    array(select to_jsonb(w.word) from unnest(k.words) as w (word))
  );

  if jsonb_typeof(v_params -> 'target_group') = 'array' then
    return query
    select format('target_group[%s]', g.place - 1), 'error', 'a target group is not text',
      'Name groups as text.'
    from jsonb_array_elements(v_params -> 'target_group') with ordinality as g (value, place)
    where jsonb_typeof(g.value) <> 'string';
  end if;

  -- Cadence and templates.
  return query
  select 'cadence.' || c.key, 'error', p.problem, p.hint
  from jsonb_each(v_cadence) as c
  cross join lateral (
    values
    (
      c.key !~ '^day(0|[1-9][0-9]{0,2})$',
      format('%s is no day of a cadence', c.key),
      'Days are day0 to day999.'
    ),
    (
      jsonb_typeof(c.value) not in ('boolean', 'string', 'object', 'null')
      or (
        jsonb_typeof(c.value) = 'object'
        and jsonb_typeof(c.value -> 'template') is distinct from 'string'
      ),
      format('%s is neither true, false nor the name of a template', c.key),
      'Write true, false, "name" or {"template": "name"}.'
    )
  ) as p (is_so, problem, hint)
  where p.is_so;

  return query
  select 'templates.' || t.key, 'error', format('template %s has no subject and body', t.key),
    'Write "Subject: …\nBody: …" or {"subject": "…", "body": "…"}.'
  from jsonb_each(v_templates) as t
  where not (
    jsonb_typeof(t.value) = 'string'
    or (
      jsonb_typeof(t.value) = 'object'
      and jsonb_typeof(t.value -> 'body') is not distinct from 'string'
      and coalesce(jsonb_typeof(t.value -> 'subject'), 'string') = 'string'
    )
  );

  return query
  select
    format('cadence.day%s', n.day),
    case when n.is_named then 'error' else 'warning' end,
    case
      when n.is_named then format('day%s names template %s, which does not exist', n.day, n.template)
      else format('day%s has no template', n.day)
    end,
    case
      when n.is_named then 'Add it to templates, or name another one.'
      else 'Add a template, or let the agent write that e-mail itself.'
    end
  from jobsdb.touches(v_params) as n
  where n.template is null or not v_templates ? n.template;

  return query
  select 'templates.' || t.key, 'warning', format('template %s is never sent', t.key),
    'Add a day to cadence, or name the template there.'
  from jsonb_each(v_templates) as t
  where not exists (select from jobsdb.touches(v_params) as n where n.template = t.key);

  return query
  select 'templates.' || t.key, 'warning', format('template %s has no subject', t.key),
    'Begin it with "Subject: …"; without one its cards always wait for a person.'
  from jsonb_each(v_templates) as t
  where jsonb_typeof(t.value) in ('string', 'object')
    and coalesce((jobsdb.read_template(t.value)).subject, '') !~ '[^[:space:]]';

  -- Window.
  return query
  select 'send_window.' || w.key, 'error', format('%s of the sending window is no time of day', w.key),
    'Write 09:00; 24:00 is the end of the day.'
  from jsonb_each_text(v_window) as w
  where w.key in ('from', 'to') and w.value !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$';

  return query
  select 'send_window', 'error', 'the sending window closes before it opens',
    'from has to be earlier than to.'
  where coalesce(v_window ->> 'from', '00:00') >= coalesce(v_window ->> 'to', '24:00')
    and length(coalesce(v_window ->> 'from', '00:00')) = 5;

  return query
  select 'send_window.days', 'error', 'days of the sending window are not weekdays',
    'Write ["mon", "tue", "wed", "thu", "fri"].'
  where v_window ? 'days' and case
    when jsonb_typeof(v_window -> 'days') = 'array'
      then v_window -> 'days' = '[]' or exists (
        select from jsonb_array_elements_text(v_window -> 'days') as d (name)
        where (
          lower(d.name) ~ '^(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?$'
        ) is not true
      )
    else true
  end;

  return query
  select 'send_window.in', 'error', 'in of the sending window is neither contact nor job',
    'contact (in the time zone of each contact) when left away.'
  where v_window ? 'in' and v_window ->> 'in' not in ('contact', 'job');

  return query
  select 'send_window.tz', 'warning', 'the time zone of the sending window is unknown',
    'Write an IANA name such as Europe/Berlin; until then UTC is used.'
  where v_window ? 'tz' and not jobsdb.is_time_zone(v_window ->> 'tz');

  -- What may not be meant.
  return query
  select '', 'warning', 'nobody is addressed', 'Add target_group or target_filter; {} is everybody.'
  where (v_params ? 'cadence' or v_params ? 'templates')
    and not (v_params ? 'target_group' or v_params ? 'target_filter')
    or v_params -> 'target_group' = '[]';

  return query
  select 'four_eyes', 'warning', 'four eyes see nothing without review',
    'Leave review_mode away, or false four_eyes.'
  where v_params -> 'four_eyes' = 'true' and not jobsdb.reviews_cards(v_params);

  return query
  select p.key, 'warning', format('%s is not a key jobsdb knows', left(p.key, 100)),
    'It is kept and ignored.'
  from jsonb_object_keys(v_params) as p (key)
  where p.key <> all(array[
    'target_group', 'target_filter', 'cadence', 'templates', 'review_mode', 'batch_size',
    'variables', 'send_window', 'escape', 'on_missing', 'stop_on', 'mailbox', 'min_success_rate',
    'four_eyes', 'budget', 'review_ttl'
  ]);
end;
$$;
revoke all on function jobsdb.params_problems(jsonb)
from public, anon, authenticated, service_role;
grant execute on function jobsdb.params_problems(jsonb) to authenticated, service_role;

comment on function jobsdb.params_problems(jsonb) is
'Body of public.validate_job_params.
Source:  sql/functions/campaign/params_problems.sql';
