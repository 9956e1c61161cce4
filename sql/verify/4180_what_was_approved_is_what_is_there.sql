-- 4180 What was approved is what is there.
-- so: an agent may send another text than the one a person has read
-- level: warning
--
-- A warning only, because a host that renames or retypes these columns changes every fingerprint.
-- The expression is that of jobsdb.card_hash, which only the owner may call.
with approved as (
  select
    k.id,
    k.job_id,
    to_jsonb(k.*) as card
  from public.kanban_cards as k
  inner join public.jobs as j on k.job_id = j.id
  where
    k.state::text = 'approved'
    and j.params -> 'review_mode' is distinct from 'false'::jsonb
),

hashed as (
  select
    a.id,
    a.job_id,
    encode(sha256(convert_to(
      jsonb_build_array(
        a.card -> 'type', a.card -> 'title', a.card -> 'content', a.card #> '{content,to}'
      )::text,
      'UTF8'
    )), 'hex') as content_hash
  from approved as a
),

decided as (
  select distinct on (v.card_id, v.job_id)
    v.card_id,
    v.job_id,
    v.decision,
    v.content_hash
  from jobsdb.card_reviews as v
  order by v.card_id asc, v.job_id asc, v.id desc
)

select
  format('card %s', h.id) as object,
  'fingerprint ' || left(d.content_hash, 12) as missing,
  'fingerprint ' || left(h.content_hash, 12) as extra,
  format('update public.kanban_cards set state = ''in_review'' where id = %L;', h.id) as fix
from hashed as h
inner join decided as d on h.id::text = d.card_id and h.job_id = d.job_id
where d.decision = 'approved' and h.content_hash <> d.content_hash
order by object
limit 100;
