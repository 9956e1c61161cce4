-- tick() takes back what a lost sender had, and ends what is over.
-- as: service
-- counts: sends
select
  'taken back' as word,
  (tick() ->> 'sends')::int as number;
