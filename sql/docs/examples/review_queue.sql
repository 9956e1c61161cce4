-- after drafted, as tenant
select
  title,
  content ->> 'subject' as subject,
  left(content_hash, 12) as hash,
  missing,
  since
from review_queue
where job_id = '{job}'
order by subject;
