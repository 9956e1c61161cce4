-- after claimed, as service
select draft_cards('{task}', '{lease}');
