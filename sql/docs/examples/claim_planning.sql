-- after sent, as service, 5 days later
select * from claim_planning('planner');
