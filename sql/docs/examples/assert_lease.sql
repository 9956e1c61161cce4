-- after claimed, as service
select assert_lease('{task}', '{lease}');
