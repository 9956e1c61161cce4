-- Ana reads what waits for her.
-- as: tenant
-- shows: rows
select
  title,
  content ->> 'subject' as subject
from get_job_cards(current_setting('demo.job')::uuid)
where state = 'in_review'
order by title;
