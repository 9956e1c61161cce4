-- after drafted, as tenant
select outcome
from review_cards('{{ann_card},{bob_card}}', '{{ann_hash},{bob_hash}}', 'approve');
