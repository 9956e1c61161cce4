-- bundle 5
-- An approved card whose e-mail will never go out waits for nothing. It says why and is rejected;
-- a person may approve it again. What somebody holds is left for the next look.
create or replace function jobsdb.end_dropped_cards(
  job_id uuid,
  org_id uuid
)
returns int
language plpgsql
volatile
parallel unsafe
security definer
set search_path to pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_card record;
  v_id public.kanban_cards.id%type;
  v_send jobsdb.sends;
  v_ended int := 0;
begin
  for v_card in
    select c.id::text as id, to_jsonb(c.*) as row
    from public.kanban_cards as c
    where c.job_id = end_dropped_cards.job_id
      and c.org_id = end_dropped_cards.org_id
      and jobsdb.card_state(to_jsonb(c.*)) = 'approved'
      and to_jsonb(c.*) ->> 'type' in ('draft_email', 'send_email')
      and btrim(to_jsonb(c.*) #>> '{content,to}') <> ''
    order by c.id
  loop
    select s.*
    into v_send
    from jobsdb.sends as s
    where s.card_id = v_card.id and s.job_id = end_dropped_cards.job_id
    order by s.id desc
    limit 1;
    continue when v_send.state in ('queued', 'leased', 'dispatching', 'unknown');

    v_id := v_card.id;
    perform from public.kanban_cards as c
    where c.id = v_id and c.job_id = end_dropped_cards.job_id
    for no key update skip locked;
    continue when not found;
    if v_send.state = 'sent' then
      perform jobsdb.close_card(v_send);
    else
      begin
        perform set_config(
          'jobsdb.review_comment',
          coalesce(v_send.reason, 'another card was sent for this touch'),
          true
        );
        perform set_config('jobsdb.redraft', jsonb_build_array(v_card.id)::text, true);
        update public.kanban_cards as c
        set state = 'rejected'
        where c.id = v_id and jobsdb.card_state(to_jsonb(c.*)) = 'approved';
        perform set_config('jobsdb.review_comment', '', true);
        perform set_config('jobsdb.redraft', '', true);
      exception
        when others then
          if jobsdb.is_passing(sqlstate) then
            raise;
          end if;
          raise warning 'card "%" cannot be rejected: %', v_id, sqlerrm;
          continue;
      end;
    end if;
    v_ended := v_ended + 1;
  end loop;
  return v_ended;
end;
$$;
revoke all on function jobsdb.end_dropped_cards(uuid, uuid)
from public, anon, authenticated, service_role;

comment on function jobsdb.end_dropped_cards(uuid, uuid) is
'Rejects approved e-mail cards of a job whose e-mail has ended without being sent, with the reason as comment.
Returns: number of cards.
Errors:  none.
Source:  sql/functions/send/end_dropped_cards.sql';
