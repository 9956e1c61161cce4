-- after created, as tenant
select * from preview_job('{job}', 1);
