-- All figures
-- The columns of job_metrics_live; seconds, shares of 1, and numbers.
-- $1 the job.
select
  f.figure,
  f.value
from public.job_metrics_live as m
cross join lateral json_each_text(row_to_json(m)) with ordinality as f (figure, value, place)
where m.job_id = $1::uuid and f.value is not null and left(f.value, 1) <> '{'
order by f.place;
