-- The provider reports what became of its e-mails, some of it twice.
-- as: service
-- counts: events
select
  case e.verdict
    when 'known' then 'told twice'
    else case current_setting('demo.event')
      when 'bounce_hard' then 'bounced'
      when 'bounce_soft' then 'bounced softly'
      when 'open_human' then 'opened'
      when 'open_machine' then 'opened by machines'
      when 'click' then 'clicked'
      when 'reply' then 'replied'
      when 'auto_reply' then 'replied automatically'
      when 'unsubscribe' then 'unsubscribed'
      else current_setting('demo.event')
    end
  end as word,
  1 as number
from record_send_event(
  current_setting('demo.provider'),
  current_setting('demo.event_id'),
  current_setting('demo.event'),
  send_id => current_setting('demo.send')::bigint
) as e (verdict);
