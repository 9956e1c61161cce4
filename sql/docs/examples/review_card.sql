-- after drafted, as tenant
select
  review_card(
    '{ann_card}', 'approve', content => '{"to": "ann@example.com", "subject": "Hi", "body": "…"}'
  );
