"""`jobsdb verify`: silent about a healthy database, and every check tells what it is there for.

Each check is broken in the ways it guards against: it must say so, and where its remedy is a
statement, that statement must mend it.
"""

import json
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pglast
import psycopg
import pytest

import commands
import world
from helpers import BINDIR, SQL, new_database
from jobsdb import local
from jobsdb.check import behaviour, golden, verify
from jobsdb.check.checks import Check, Result, load_checks, load_proofs
from jobsdb.check.verify import AGAIN
from jobsdb.cli import main
from jobsdb.deploy.migrate import migrate
from jobsdb.errors import Exit, JobsdbError
from jobsdb.local import Server
from test_host_tables import ADOPTED
from test_supabase import CLUSTER, DATABASE, GRANTS_BY_DEFAULT
from world import A, B

CHECKS = {check.number: check for check in load_checks()}
PROOFS = {check.number: check for check in load_proofs()}

JOB = "(select j.id from public.jobs as j where j.name = '{}')"
FORCED = (
    "set local session_replication_role = replica; {}; set local session_replication_role = origin"
)
ADOPT = (
    "comment on table public.kanban_cards is 'of the host';"
    "update jobsdb.host_tables set made_by_jobsdb = false where table_name = 'kanban_cards';"
)

HOST_WARNINGS = {"3310", "3315", "3320"}

# Number of the check, what breaks it, and what it must say. A word after that: the verdict, if it
# is not a failure; "by hand": the remedy is for a person to read.
BROKEN: list[tuple[str, ...]] = [
    # ledger
    (
        "1010",
        "delete from jobsdb.ledger where file like '%add_job_links.sql'",
        "only its row is gone: select jobsdb.record_applied(",
        "by hand",
    ),
    (
        "1010",
        "delete from jobsdb.ledger where file like '%create_sends.sql'",
        "create_sends.sql missing applied extra None fix jobsdb migrate",
        "by hand",
    ),
    (
        "1020",
        "update jobsdb.ledger set sha256 = repeat('0', 64) where file like '%add_job_links.sql'",
        "000000000000",
        "by hand",
    ),
    (
        "1030",
        "insert into jobsdb.ledger (file, sha256, release, route)"
        " values ('migrations/20990101000000_later.sql', repeat('0', 64), '9.9', 'migrate')",
        "applied by release 9.9",
        "by hand",
    ),
    (
        "1040",
        "select jobsdb.record_applied('{functions/job/cancel_job.sql}', array[repeat('0', 64)],"
        " '0', 'migrate')",
        "functions/job/cancel_job.sql",
    ),
    ("1040", "delete from jobsdb.ledger where file = 'policies/jobs.sql'", "policies/jobs.sql"),
    (
        "1050",
        "drop index public.jobsdb_cards_of_job",
        "create index concurrently jobsdb_cards_of_job",
    ),
    (
        "1060",
        "update jobsdb.host_tables set made_by_jobsdb = false where table_name = 'kanban_cards'",
        "public.kanban_cards",
    ),
    ("1060", "comment on table public.agent_runs is 'ours'", "public.agent_runs"),
    ("1060", "delete from jobsdb.host_tables", "a row in jobsdb.host_tables"),
    # structure
    ("2010", "drop view public.job_performance_summary", "public.job_performance_summary"),
    (
        "2010",
        "drop table public.job_tasks cascade; create view public.job_tasks as select 1 as id",
        "base table",
    ),
    (
        "2020",
        "alter table public.job_tasks rename column error_message to message",
        "public.job_tasks.error_message missing text",
    ),
    ("2030", "drop function public.get_job_cards(uuid)", "public.get_job_cards"),
    ("2030", "alter function public.get_job_cards(uuid) security definer", "security definer"),
    ("2110", "drop table jobsdb.unfrozen_jobs", "jobsdb.unfrozen_jobs missing table", "by hand"),
    ("2110", "alter table jobsdb.org_members set unlogged", "unlogged table"),
    ("2110", "drop view public.job_metrics_live", "public.job_metrics_live missing view"),
    ("2110", "drop sequence jobsdb.task_order", "sequence as bigint increment 1", "by hand"),
    ("2110", "create table jobsdb.stray ()", "jobsdb.stray", "warn", "by hand"),
    (
        "2120",
        "alter table public.job_tasks alter column retry_count drop not null",
        "public.job_tasks.retry_count missing integer not null default 0 extra integer default 0",
    ),
    ("2120", "alter table public.job_tasks alter column batch drop default", "job_tasks.batch"),
    ("2120", "alter table public.job_tasks alter column priority type bigint", "extra bigint"),
    ("2120", "alter table public.job_tasks drop column output", "job_tasks.output missing jsonb"),
    ("2120", "alter table public.kanban_cards drop column task_id cascade", "kanban_cards.task_id"),
    ("2120", "alter table public.jobs alter column id drop default", "default gen_random_uuid()"),
    (
        "2120",
        "alter table public.job_tasks alter column id drop identity",
        "generated always as identity",
        "by hand",
    ),
    ("2120", "alter table public.jobs add column colour text", "colour", "warn", "by hand"),
    (
        "2130",
        "alter domain public.job_status drop constraint job_status_is_known",
        "job_status_is_known",
        "by hand",
    ),
    (
        "2130",
        "alter domain public.task_status drop constraint task_status_is_known;"
        "alter domain public.task_status add constraint task_status_is_known"
        " check (value in ('pending', 'running', 'done', 'error', 'skipped', 'lost'))",
        "lost",
        "by hand",
    ),
    ("2130", "alter type jobsdb.card_count add attribute more int", "more integer", "by hand"),
    ("2130", "create type jobsdb.mood as enum ('good')", "enum ('good')", "warn", "by hand"),
    (
        "2140",
        "alter table public.kanban_cards drop constraint jobsdb_card_belongs_to_job_of_same_org",
        "jobsdb_card_belongs_to_job_of_same_org",
    ),
    (
        "2140",
        "alter table public.job_tasks drop constraint job_tasks_belongs_to_job_of_same_org,"
        " add constraint job_tasks_belongs_to_job_of_same_org foreign key (job_id, org_id)"
        " references public.jobs (id, org_id) on delete cascade not valid",
        "NOT VALID",
    ),
    (
        "2140",
        "alter table public.job_tasks drop constraint job_tasks_job_id_batch_step_key",
        "UNIQUE (job_id, batch, step)",
    ),
    (
        "2140",
        "alter table jobsdb.ledger drop constraint route_is_known,"
        " add constraint route_is_known check (route <> '')",
        "route_is_known",
    ),
    (
        "2140",
        "alter table public.jobs add constraint no_fun check (name <> 'fun')",
        "no_fun",
        "warn",
    ),
    ("2150", "drop index public.job_tasks_ready", "job_tasks_ready missing CREATE INDEX"),
    (
        "2150",
        "drop index public.jobs_open; create index jobs_open on public.jobs (org_id)",
        "WHERE",
    ),
    ("2150", "drop index jobsdb.ledger_migration_once", "CREATE UNIQUE INDEX"),
    ("2150", "create index slow on public.job_tasks (output)", "public.job_tasks.slow", "warn"),
    (
        "2160",
        "create or replace view public.recent_job_activity with (security_invoker = true) as"
        " select e.org_id, e.job_id, j.name as job_name, e.entity, e.entity_id, 'x'::text as what,"
        " e.happened_at, ''::text as who, e.id"
        " from jobsdb.events as e join public.jobs as j on true",
        "public.recent_job_activity missing query",
    ),
    (
        "2160",
        "alter view public.job_metrics reset (security_barrier)",
        "security_barrier=true, security_invoker=true",
    ),
    ("2165", "refresh materialized view jobsdb.job_metrics_mv with no data", "job_metrics_mv"),
    (
        "2170",
        "create or replace function jobsdb.reviews_cards(params jsonb) returns boolean"
        " language plpgsql immutable parallel safe set search_path to pg_catalog, pg_temp"
        " as 'begin return false; end'",
        "jobsdb.reviews_cards(jsonb) missing",
    ),
    ("2170", "alter function jobsdb.my_org_ids() immutable", "immutable"),
    ("2170", "alter function jobsdb.guard_card() security invoker", "security definer"),
    ("2170", "alter function jobsdb.lock_job(uuid) reset lock_timeout", "lock_timeout=50ms"),
    ("2170", "alter function public.cancel_job(uuid) strict", "strict"),
    (
        "2170",
        "create or replace function public.cancel_job(job_id uuid) returns public.jobs"
        " language sql set search_path to pg_catalog, pg_temp"
        " begin atomic select j from jobsdb.set_job_paused(cancel_job.job_id, true) as j; end",
        "public.cancel_job(uuid) missing",
    ),
    ("2170", "drop function public.get_job_progress(uuid)", "public.get_job_progress(uuid)"),
    (
        "2170",
        "create function jobsdb.stray() returns int language sql return 1",
        "jobsdb.stray()",
        "warn",
    ),
    (
        "2180",
        "drop trigger jobsdb_t30_guard on public.kanban_cards",
        "public.kanban_cards.jobsdb_t30_guard missing CREATE TRIGGER",
    ),
    (
        "2180",
        "create or replace trigger t10_guard_upd before update on public.job_tasks for each row"
        " when (old.rev <> new.rev) execute function jobsdb.guard_task_update()",
        "(old.rev <> new.rev)",
    ),
    (
        "2180",
        "drop trigger t50_fold_at_commit on jobsdb.job_deltas",
        "DEFERRABLE INITIALLY DEFERRED",
    ),
    (
        "2180",
        "create trigger tell after update on public.jobs"
        " for each row execute function suppress_redundant_updates_trigger()",
        "public.jobs.tell",
        "warn",
        "by hand",
    ),
    (
        "2190",
        "create trigger zz before update on public.job_tasks"
        " for each row execute function suppress_redundant_updates_trigger()",
        "public.job_tasks.zz missing None",
    ),
    (
        "2190",
        "create trigger zz before insert on public.jobs"
        " for each row execute function suppress_redundant_updates_trigger()",
        "fires after t10_guard_ins",
    ),
    (
        "2200",
        "create rule quiet as on update to public.jobs do instead nothing",
        "public.jobs.quiet",
    ),
    ("2210", "comment on column public.jobs.params is null", "public.jobs.params", "warn"),
    ("2210", "comment on function jobsdb.caller() is null", "jobsdb.caller()", "warn"),
    (
        "2210",
        "comment on trigger jobsdb_t30_guard on public.kanban_cards is null",
        "comment on the trigger",
        "warn",
    ),
    ("2210", "comment on schema jobsdb is null", "the schema", "warn"),
    ("2210", "comment on domain public.job_status is null", "the domain", "warn"),
    (
        "2210",
        "comment on policy tenant_reads_own_jobs on public.jobs is null",
        "the policy",
        "warn",
    ),
    ("2210", "create view jobsdb.odd as select 1 as one", "jobsdb.odd", "warn", "by hand"),
    ("2220", "alter function auth.uid() rename to somebody", "auth.uid() missing", "by hand"),
    ("2220", "revoke execute on function auth.uid() from public", "execute on function auth.uid()"),
    ("2220", "revoke usage on schema auth from authenticated", "usage on schema auth"),
    ("2230", "revoke usage on schema public from public", "usage for authenticated"),
    # security
    ("3010", "alter role authenticated bypassrls", "authenticated missing None extra bypassrls"),
    ("3010", "alter role anon superuser", "superuser"),
    ("3010", "grant service_role to authenticated", "member of service_role"),
    ("3010", "grant postgres to anon", "member of postgres"),
    ("3010", "alter role anon rename to anonymous", "anon missing the role", "by hand"),
    ("3020", "alter table public.job_tasks disable row level security", "public.job_tasks"),
    ("3020", "alter table jobsdb.ledger disable row level security", "jobsdb.ledger"),
    ("3020", "alter table public.jobs force row level security", "forced on the owner"),
    (
        "3030",
        "alter policy tenant_reads_own_jobs on public.jobs using (true)",
        "public.jobs.tenant_reads_own_jobs",
    ),
    (
        "3030",
        "create policy open on public.job_tasks for select to authenticated using (true)",
        "public.job_tasks.open missing None",
    ),
    (
        "3030",
        "drop policy tenant_updates_own_tasks on public.job_tasks",
        "public.job_tasks.tenant_updates_own_tasks",
    ),
    (
        "3030",
        "alter policy service_does_all_jobs on public.jobs to authenticated",
        "to authenticated using (true)",
    ),
    (
        "3030",
        "create policy tight on jobsdb.events as restrictive to authenticated using (false)",
        "restrictive",
    ),
    (
        "3040",
        "alter policy tenant_reads_own_jobs on public.jobs"
        " using (org_id = any (jobsdb.my_org_ids()))",
        "(select jobsdb.my_org_ids()) in every condition",
    ),
    (
        "3040",
        "create policy p on public.jobs for select using (org_id = (select auth.uid()))",
        "somebody else",
        "by hand",
    ),
    (
        "3050",
        "alter view public.recent_job_activity reset (security_invoker)",
        "public.recent_job_activity missing security_invoker",
    ),
    ("3050", "alter view jobsdb.exact_jobs set (security_invoker = off)", "jobsdb.exact_jobs"),
    ("3060", "grant select on jobsdb.job_metrics_mv to authenticated", "select for authenticated"),
    ("3060", "grant select (org_id) on jobsdb.job_metrics_mv to public", "select for PUBLIC"),
    ("3070", "grant usage on schema jobsdb to authenticated", "usage for authenticated"),
    ("3070", "grant usage on schema jobsdb to public", "usage for anon"),
    ("3070", "grant create on schema jobsdb to service_role", "create for service_role"),
    ("3080", "grant update on public.jobs to authenticated", "update on table public.jobs"),
    ("3080", "revoke select on public.jobs from authenticated", "missing select on table"),
    ("3080", "revoke insert (kind) on public.job_tasks from service_role", "insert (kind)"),
    ("3080", "grant execute on function jobsdb.guard_card() to anon", "jobsdb.guard_card()"),
    (
        "3080",
        "grant select on public.job_metrics to authenticated with grant option",
        "with grant option",
    ),
    ("3080", "grant select on jobsdb.ledger to public", "select on table jobsdb.ledger to public"),
    ("3080", "revoke execute on function public.cancel_job(uuid) from authenticated", "cancel_job"),
    ("3080", "revoke usage on schema jobsdb from service_role", "missing usage on schema jobsdb"),
    ("3080", "revoke usage on type public.job_status from public", "on type public.job_status"),
    ("3090", "grant truncate on public.job_tasks to authenticated", "truncate for authenticated"),
    ("3090", "grant trigger on public.jobs to public", "trigger for anon"),
    ("3090", "grant references on public.jobs to service_role", "references for service_role"),
    ("3090", "grant update on public.jobs to service_role", "update for service_role"),
    ("3090", "grant delete on public.jobs to authenticated", "delete for authenticated"),
    (
        "3090",
        "grant pg_write_all_data to authenticated",
        "delete, insert, update for authenticated",
        "by hand",
    ),
    ("3100", "grant update (rev) on public.job_tasks to service_role", "public.job_tasks.rev"),
    ("3100", "grant insert (tasks_done) on public.jobs to public", "public.jobs.tasks_done"),
    ("3100", "grant update (lease_token) on public.job_tasks to authenticated", "lease_token"),
    (
        "3110",
        "grant usage on sequence public.job_tasks_id_seq to authenticated",
        "job_tasks_id_seq",
    ),
    ("3110", "grant select on sequence jobsdb.task_order to public", "select for anon"),
    ("3120", "alter function jobsdb.my_org_ids() reset search_path", "jobsdb.my_org_ids()"),
    ("3120", "alter function jobsdb.caller() set search_path to public", "search_path=public"),
    ("3120", "alter function jobsdb.caller() set search_path to ''", 'search_path=""'),
    ("3130", "grant execute on function public.cancel_job(uuid) to public", "execute for PUBLIC"),
    ("3130", "grant execute on function jobsdb.caller() to anon", "execute for anon"),
    (
        "3140",
        "grant execute on function jobsdb.guard_card() to service_role",
        "jobsdb.guard_card() missing None extra execute for service_role",
    ),
    (
        "3145",
        "alter function public.cancel_job(uuid) security definer",
        "cancel_job(uuid) missing security invoker extra execute for authenticated",
    ),
    (
        "3145",
        "grant execute on function public.claim_sends to public",
        "execute for anon, authenticated",
    ),
    (
        "3150",
        "create function public.cancel_job(job_id text) returns int language sql return 1",
        "public.cancel_job(text), public.cancel_job(uuid)",
        "by hand",
    ),
    (
        "3160",
        "create role jobsdb_test_clerk; grant create on schema jobsdb to jobsdb_test_clerk;"
        "alter function jobsdb.my_org_ids() owner to jobsdb_test_clerk",
        "right of its owner jobsdb_test_clerk",
    ),
    ("3170", "alter table public.job_tasks disable trigger t10_guard_upd", "t10_guard_upd"),
    ("3170", "alter table public.jobs enable replica trigger t10_guard_upd", "only on a replica"),
    (
        "3170",
        "alter table public.job_tasks disable trigger all",
        "job_tasks_belongs_to_job_of_same_org",
    ),
    (
        "3170",
        ADOPT + "alter table public.kanban_cards disable trigger jobsdb_t30_guard",
        "public.kanban_cards.jobsdb_t30_guard",
    ),
    (
        "3180",
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.job_tasks_ready'::regclass",
        "public.job_tasks.job_tasks_ready",
    ),
    ("3190", "drop index public.jobsdb_cards_of_task", "an index that begins with task_id"),
    ("3200", "alter table jobsdb.events alter column org_id drop not null", "jobsdb.events"),
    ("3200", "create table jobsdb.notes (job_id uuid)", "jobsdb.notes", "by hand"),
    (
        "3210",
        "alter table jobsdb.events add constraint event_has_job"
        " foreign key (job_id) references public.jobs (id) not valid",
        "jobsdb.events.event_has_job",
        "by hand",
    ),
    (
        "3220",
        "create function jobsdb.peek() returns bigint language sql as"
        " 'select count(*) from public.jobs'",
        "language sql",
        "by hand",
    ),
    (
        "3220",
        "create function jobsdb.mix() returns void language plpgsql as"
        " 'begin merge into public.jobs as j using public.jobs as k on false"
        " when matched then do nothing; end'",
        "merge",
        "by hand",
    ),
    (
        "3310",
        ADOPT + "alter table public.kanban_cards disable row level security",
        "public.kanban_cards missing row-level security",
        "warn",
        "by hand",
    ),
    (
        "3315",
        ADOPT + "drop policy service_does_all_cards on public.kanban_cards",
        "public.kanban_cards missing a policy that lets service_role read",
        "warn",
    ),
    (
        "3315",
        ADOPT + "alter policy service_does_all_cards on public.kanban_cards to authenticated",
        "public.kanban_cards missing a policy that lets service_role read",
        "warn",
    ),
    (
        "3320",
        ADOPT + "grant truncate on public.kanban_cards to public",
        "truncate for authenticated",
        "warn",
    ),
    (
        "3320",
        ADOPT + "grant trigger on public.kanban_cards to authenticated",
        "trigger for authenticated",
        "warn",
    ),
    (
        "3330",
        "create view public.all_jobs as select * from public.jobs;"
        "grant select on public.all_jobs to authenticated",
        "public.all_jobs missing security_invoker",
        "warn",
    ),
    (
        "3330",
        "create materialized view public.all_events as select * from jobsdb.events;"
        "grant select on public.all_events to anon",
        "a view over jobsdb.events",
        "warn",
    ),
    ("3340", "grant create on schema public to public", "create for authenticated", "warn"),
    (
        "3360",
        "create role jobsdb_test_clerk; grant select on public.jobs to jobsdb_test_clerk",
        "select for jobsdb_test_clerk",
        "note",
        "by hand",
    ),
    # data
    (
        "4010",
        "delete from jobsdb.transitions where (entity, from_status) = ('task', 'error')",
        "task error → pending missing legal",
    ),
    (
        "4010",
        "insert into jobsdb.transitions values ('card', 'done', 'approved', 'again')",
        "card done → approved",
        "warn",
    ),
    ("4020", "delete from jobsdb.task_kinds where kind = 'research'", "research"),
    (
        "4110",
        f"update public.jobs set tasks_done = tasks_done + 1 where id = {JOB.format('running')}",
        "missing tasks_done 1 extra tasks_done 2",
    ),
    (
        "4110",
        f"update public.jobs set cards_approved = 0 where id = {JOB.format('running')}",
        "missing cards_approved 1 extra cards_approved 0",
    ),
    (
        "4110",
        f"update public.jobs set tasks_skipped = 0 where id = {JOB.format('cancelled')}",
        "missing tasks_skipped 2 extra tasks_skipped 0",
    ),
    (
        "4110",
        "insert into jobsdb.job_deltas (job_id, org_id, tasks_total)"
        " select j.id, j.org_id, -1 from public.jobs as j where j.name = 'running'",
        "missing tasks_total 5 extra tasks_total 4",
    ),
    (
        "4110",
        FORCED.format(f"delete from public.kanban_cards where job_id = {JOB.format('running')}"),
        "cards_total",
    ),
    (
        "4120",
        "update public.jobs set started_at = null where name = 'running'",
        "started_at of a running job",
    ),
    (
        "4120",
        "update public.jobs set finished_at = null where name = 'failed'",
        "finished_at of a failed job",
    ),
    (
        "4120",
        "update public.jobs set finished_at = now() where name = 'pending'",
        "finished_at of a pending job",
    ),
    (
        "4120",
        "update public.jobs set paused_at = now() where name = 'succeeded'",
        "paused_at of a succeeded job",
    ),
    (
        "4130",
        FORCED.format("update public.jobs set status = 'succeeded' where name = 'running'"),
        "pending",
    ),
    (
        "4140",
        FORCED.format("update public.job_tasks set finished_at = null where status = 'done'"),
        "finished_at of a task that is done",
    ),
    (
        "4140",
        FORCED.format("update public.job_tasks set started_at = null where status = 'running'"),
        "started_at of a running task",
    ),
    (
        "4140",
        "update public.job_tasks set lease_token = gen_random_uuid()"
        " where status = 'pending' and pos is not null",
        "a lease of a task that is pending",
    ),
    (
        "4150",
        "delete from jobsdb.closed_jobs;"
        + FORCED.format(
            "update public.job_tasks set status = 'pending'"
            f" where job_id = {JOB.format('cancelled')} and status = 'skipped'"
        ),
        "a row in jobsdb.closed_jobs",
    ),
    (
        "4160",
        FORCED.format(f"update public.job_tasks set org_id = '{B}' where step = 1"),
        f"organisation {B}",
        "by hand",
    ),
    (
        "4160",
        FORCED.format(f"update public.kanban_cards set org_id = '{B}' where job_id is not null"),
        f"organisation {B}",
    ),
    (
        "4160",
        FORCED.format(
            "update public.kanban_cards set task_id = (select t.id from public.job_tasks as t"
            f" where t.job_id = {JOB.format('failed')} limit 1) where state = 'approved'"
        ),
        "of job",
    ),
    (
        "4160",
        FORCED.format(
            f"insert into public.agent_runs (org_id, job_id) values ('{B}',"
            f" {JOB.format('running')})"
        ),
        "run ",
    ),
    (
        "4160",
        FORCED.format("update public.kanban_cards set job_id = gen_random_uuid()"),
        "card ",
    ),
    (
        "4170",
        FORCED.format("update public.kanban_cards set state = 'approved' where state = 'rejected'"),
        "last decision: rejected",
    ),
    (
        "4170",
        "delete from jobsdb.card_reviews",
        "last decision: none",
    ),
    (
        "4180",
        FORCED.format("update public.kanban_cards set title = 'other' where state = 'approved'"),
        "fingerprint",
        "warn",
    ),
    ("4190", "delete from jobsdb.runnable_jobs", "missing a row in jobsdb.runnable_jobs"),
    (
        "4190",
        "insert into jobsdb.runnable_jobs (job_id, org_id)"
        " select j.id, j.org_id from public.jobs as j where j.name = 'pending'",
        "extra a row in jobsdb.runnable_jobs",
    ),
    (
        "4190",
        "update public.jobs set paused_at = now() where name = 'running';"
        "insert into jobsdb.runnable_jobs (job_id, org_id)"
        " select j.id, j.org_id from public.jobs as j where j.name = 'running'"
        " on conflict do nothing",
        "extra a row in jobsdb.runnable_jobs",
    ),
    (
        "4200",
        FORCED.format("update public.job_tasks set pos = null where status = 'pending'"),
        "a place in the queue",
    ),
    (
        "4200",
        FORCED.format(
            "update public.job_tasks set status = 'done'"
            " where id = (select min(t.id) from public.job_tasks as t where t.status = 'running')"
        ),
        "an open step to wait for",
        "by hand",
    ),
    ("4230", "delete from jobsdb.leases", "a row in jobsdb.leases"),
    ("4240", "delete from jobsdb.waiting_cards", "missing a row in jobsdb.waiting_cards"),
    (
        "4240",
        "insert into jobsdb.waiting_cards (org_id, job_id, card_id)"
        " select k.org_id, k.job_id, k.id from public.kanban_cards as k where k.state = 'approved'",
        "extra a row in jobsdb.waiting_cards",
    ),
    (
        "4250",
        "update jobsdb.sends set content_hash = 'of other words' where state = 'queued'",
        "extra state queued",
    ),
    ("4250", "delete from jobsdb.card_reviews", "extra state queued", "by hand"),
    (
        "4260",
        "insert into jobsdb.due_contacts (job_id, org_id, contact_key, due_at)"
        " select j.id, j.org_id, 'c1', now() from public.jobs as j where j.name = 'running'",
        "missing an active contact of the job extra none",
    ),
    (
        "4260",
        "insert into jobsdb.job_contacts (job_id, org_id, contact_key, attributes, state, reason)"
        " select j.id, j.org_id, 'c1', '{}', 'stopped', 'reply' from public.jobs as j;"
        "insert into jobsdb.due_contacts (job_id, org_id, contact_key, due_at)"
        " select j.id, j.org_id, 'c1', now() from public.jobs as j where j.name = 'running'",
        "extra stopped",
    ),
    (
        "4270",
        "update jobsdb.task_rollups set kinds = jsonb_set(kinds, '{research,done}', '7')",
        '"done": 7',
    ),
    (
        "4270",
        "update public.job_tasks set status = 'error' where status = 'pending';"
        "truncate jobsdb.task_moves",
        '"error": 0',
    ),
    (
        "4270",
        "insert into jobsdb.task_moves (job_id, org_id, retries)"
        " select j.id, j.org_id, 5 from public.jobs as j where j.name = 'running'",
        "5 retries",
    ),
    (
        "4280",
        "create table public.people (id text, email text, org_id uuid);"
        "select jobsdb.bind_host_contacts('public.people');"
        "alter table public.people drop column email",
        "it has no column email",
        "by hand",
    ),
    (
        "4210",
        "delete from jobsdb.frozen_job_metrics",
        "metrics, or a note to compute them",
        "by hand",
    ),
    (
        "4220",
        "update jobsdb.metrics_refresh set refreshed_at = '2026-01-01 00:00+00'",
        "last refresh 2026-01-01 00:00 UTC",
        "warn",
        "by hand",
    ),
]
"""3350 is about the server and has a test of its own."""


@pytest.fixture(scope="module")
def busy_url(server: Server, template: str) -> Iterator[str]:
    """A database with a job, tasks and cards in every state; verify finds nothing in it."""
    with new_database(server, template) as address:
        with psycopg.connect(address, autocommit=True) as conn:
            fill(conn)
        yield address


def fill(conn: psycopg.Connection) -> None:
    """Two organisations at work."""
    with world.as_role(conn, "none", {"sub": str(A)}):
        for status in ("pending", "running", "succeeded", "failed", "cancelled"):
            job = world.new_job(conn, A, name=status, status="pending")
            if status != "pending":
                world.move_job(conn, job, "running")
            if status == "running":
                for step, state in enumerate(("done", "running", "error", "skipped"), 1):
                    world.new_task(conn, job, state, step=step)
                world.new_task(conn, job, step=5, depends_on=[2])
                for state in ("in_review", "approved", "rejected", "done"):
                    world.new_card(conn, job, state)
                world.new_card(conn, job, "of the host")
            else:
                world.new_task(conn, job, step=1)
                world.new_task(conn, job, step=2, depends_on=None)
            if status == "succeeded":
                conn.execute("update public.job_tasks set status = 'done' where job_id = %s", [job])
            if status in ("succeeded", "failed", "cancelled"):
                conn.execute("set constraints all immediate")
                world.move_job(conn, job, status)
        world.new_card(conn, None, "done")
        world.new_task(conn, world.new_job(conn, B, status="running", name="of b"))
    conn.execute("select public.refresh_job_metrics()")


@pytest.fixture
def busy(busy_url: str) -> Iterator[psycopg.Connection]:
    """A transaction on it, with the settings of verify, that is rolled back."""
    with psycopg.connect(busy_url, autocommit=True) as conn:
        conn.execute("begin")
        yield conn
        conn.execute("rollback")


def inspect(conn: psycopg.Connection, *numbers: str) -> list[Result]:
    """What checks find in the open transaction."""
    conn.execute(verify.SETTINGS)
    return verify.inspect(conn, [CHECKS[number] for number in numbers or CHECKS])


def said(result: Result) -> str:
    """Everything a check says."""
    return "\n".join(
        f"{f.object} missing {f.missing} extra {f.extra} fix {f.fix}" for f in result.findings
    )


def not_ok(results: list[Result]) -> dict[str, str]:
    """What was found, by check; a server older than the floor is not the database's fault."""
    return {
        result.check.number: result.unreadable or said(result)
        for result in results
        if result.word != "ok" and result.check.number != "3350"
    }


def examine(url: str, *layers: str) -> dict[str, str]:
    """What verify finds in a database."""
    with psycopg.connect(url, autocommit=True) as conn:
        return not_ok(verify.examine(conn, layers))


class TestEveryCheck:
    def test_finds_nothing_in_a_healthy_database(self, busy: psycopg.Connection) -> None:
        assert not_ok(inspect(busy)) == {}

    @pytest.mark.parametrize(
        "case", BROKEN, ids=lambda case: f"{case[0]} {' '.join(case[1].split())[:60]}"
    )
    def test_tells_what_it_guards(self, busy: psycopg.Connection, case: tuple[str, ...]) -> None:
        number, breaking, text, *more = case
        busy.execute(breaking)
        (result,) = inspect(busy, number)
        assert text in said(result)
        assert result.word == next((w for w in more if w in ("warn", "note")), "FAIL")
        assert all(finding.fix for finding in result.findings)
        if "by hand" in more or result.findings[0].fix in (AGAIN, "jobsdb migrate", "See 2120."):
            return
        for fix in dict.fromkeys(finding.fix for finding in result.findings):
            busy.execute(fix.replace(" concurrently", "").replace(" CONCURRENTLY", ""))
        (mended,) = inspect(busy, number)
        assert said(mended) == ""

    def test_is_broken_here(self) -> None:
        assert {case[0] for case in BROKEN} == set(CHECKS) - {"3350"}

    @pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.number)
    def test_is_one_select_that_says_what_it_is_for(self, check: Check) -> None:
        (statement,) = pglast.parse_sql(check.sql)
        assert isinstance(statement.stmt, pglast.ast.SelectStmt)
        assert check.so
        assert check.sentence[0].isupper() or check.sentence.startswith("auth.uid()")
        words = re.sub(r"[^a-z]+", "_", check.sentence.lower())
        assert check.docs == f"sql/verify/{check.number}_{words}.sql"
        assert (SQL.parent / check.docs).is_file()

    def test_sees_a_right_that_came_with_17(self, busy: psycopg.Connection) -> None:
        if busy.info.server_version < 170000:
            pytest.skip("MAINTAIN, which allows LOCK TABLE, came with PostgreSQL 17")
        busy.execute("grant maintain on public.jobs to authenticated")
        (result,) = inspect(busy, "3080")
        assert "maintain on table public.jobs to authenticated" in said(result)

    def test_knows_the_holes_of_servers(self, busy: psycopg.Connection) -> None:
        for version, expected in (
            (150019, "missing 15.20 extra 15.19"),
            (150020, ""),
            (160015, "missing 16.16 extra 16.15"),
            (170011, "missing 17.12 extra 17.11"),
            (180006, "missing 18.7 extra 18.6"),
            (180007, ""),
            (190000, ""),
        ):
            rows = verify._ask(busy, CHECKS["3350"], {"server": version, "reachable": True})
            assert expected in " ".join(f"missing {row[1]} extra {row[2]}" for row in rows)
            assert bool(rows) == bool(expected)
            mine = {"server": version, "reachable": False}
            assert verify._ask(busy, CHECKS["3350"], mine) == []

    def test_lets_off_a_server_that_only_its_owner_can_reach(
        self, busy: psycopg.Connection
    ) -> None:
        assert world.one(busy, "select current_setting('listen_addresses')") == ""
        assert world.one(busy, "select current_setting('unix_socket_permissions')") == "0700"
        assert verify.describe(busy)["reachable"] is False


class TestHealthyDatabases:
    def test_expectations_are_those_of_the_present_sql(self, url: str) -> None:
        """If this fails after a change of sql/: `make golden`, and read the difference."""
        with psycopg.connect(url, autocommit=True) as conn:
            made = golden.as_text(verify.snapshot(conn))
        assert (SQL / "verify" / "expected.txt").read_text().splitlines() == made.splitlines()

    def test_they_are_written_by_one_command(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("verify", "migrate"):
            (tmp_path / folder).mkdir()
        monkeypatch.setattr(golden, "sql_root", lambda: tmp_path)
        golden.write(server.url())
        written = (tmp_path / "verify" / "expected.txt").read_text()
        assert written == (SQL / "verify" / "expected.txt").read_text()
        with psycopg.connect(server.url()) as conn:
            assert (
                world.one(conn, "select 1 from pg_database where datname = %s", golden.NAME) is None
            )

    def test_fresh(self, url: str) -> None:
        assert examine(url) == {}

    def test_by_bundle(self, empty_url: str, tmp_path: Path) -> None:
        assert commands.run("bundle", str(tmp_path)).returncode == 0
        with psycopg.connect(empty_url, autocommit=True) as conn:
            for file in sorted(tmp_path.glob("*.sql")):
                conn.execute(file.read_bytes())
        assert examine(empty_url) == {}

    @pytest.mark.parametrize("shape", ADOPTED)
    def test_adopted(self, empty_url: str, shape: str) -> None:
        with psycopg.connect(empty_url, autocommit=True) as conn:
            world.make_prerequisites(conn)
            conn.execute(ADOPTED[shape])
        migrate(empty_url)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            job = world.new_job(conn, A)
            for state in ("in_review", "approved", "rejected", "done"):
                world.new_card(conn, job, state)
            conn.execute("select public.refresh_job_metrics()")
            results = verify.examine(conn)
            found = not_ok(results)
            assert {n: text for n, text in found.items() if n not in HOST_WARNINGS} == {}
            assert all(r.word in ("ok", "warn") for r in results)
            assert [r for r in behaviour.prove(conn, yes=True) if r.word == "FAIL"] == []

    def test_with_the_hosts_own_things(self, empty_url: str) -> None:
        with psycopg.connect(empty_url, autocommit=True) as conn:
            world.make_prerequisites(conn)
            conn.execute(ADOPTED["rich, with its own policies"])
        migrate(empty_url)
        with psycopg.connect(empty_url, autocommit=True) as conn:
            conn.execute(
                "alter table public.kanban_cards add column due date, drop column tags;"
                "alter table public.agent_runs add column note text check (note <> 'x');"
                "create index on public.kanban_cards (due);"
                "create trigger zz before update on public.kanban_cards"
                " for each row execute function host.touch();"
                "alter table public.kanban_cards disable trigger touch;"
                "create table public.contacts (id int); create view public.mine as select 1;"
                "create rule r as on insert to public.agent_runs where new.status = 'no'"
                " do instead nothing;"
            )
        found = examine(empty_url)
        assert set(found) <= HOST_WARNINGS

    def test_with_a_member_of_another_organisation_and_a_new_kind(
        self, db: psycopg.Connection, url: str
    ) -> None:
        db.execute("insert into jobsdb.task_kinds values ('sing', 'sing a song', '{}')")
        db.execute("select jobsdb.add_org_member(%s, %s)", [A, B])
        assert examine(url) == {}

    def test_after_dump_and_restore(self, busy_url: str, empty_url: str) -> None:
        migrate(empty_url, only_prerequisites=True)
        dump_and_restore(busy_url, empty_url)
        assert examine(empty_url) == {}
        with psycopg.connect(empty_url, autocommit=True) as conn:
            assert not_ok(behaviour.prove(conn, yes=True)) == {}

    def test_as_supabase_has_it(self, data_root: Path) -> None:
        server = local.start("supabase", bindir=BINDIR, data_root=data_root)
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(CLUSTER)
        with new_database(server) as address:
            name = commands.database(address)
            with psycopg.connect(address, autocommit=True) as conn:
                conn.execute(DATABASE + GRANTS_BY_DEFAULT.format("installer"))
                conn.execute(f"alter database {name} owner to installer")
            mine = address.replace("postgres@", "installer@")
            migrate(mine)
            with psycopg.connect(mine, autocommit=True) as conn:
                fill(conn)
                assert not_ok(verify.examine(conn)) == {}
                assert not_ok(behaviour.prove(conn, yes=True)) == {}


def dump_and_restore(url: str, into: str, *options: str) -> None:
    """Copy the schemas of jobsdb as a plain dump, with the programs of the server."""
    with psycopg.connect(into, autocommit=True) as conn:
        bindir = world.one(conn, "select setting from pg_config where name = 'BINDIR'")
    made = program(f"{bindir}/pg_dump", "--schema=public", "--schema=jobsdb", *options, url)
    made = made.replace(b"\nCREATE SCHEMA public;\n", b"\n")
    program(f"{bindir}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", into, stdin=made)


def program(*command: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class TestTraffic:
    """The data checks are exact in every snapshot: nothing is found while others work."""

    def test_finds_nothing_while_others_work(self, url: str, scale: float, seed: int) -> None:
        end = time.monotonic() + 60 * scale
        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(work, url, random.Random(seed + n), end) for n in range(3)]
            looks = 0
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("select public.refresh_job_metrics()")  # the template may be old
                while time.monotonic() < end:
                    assert not_ok(verify.examine(conn, ["data"])) == {}
                    looks += 1
            moves = sum(worker.result() for worker in workers)
        assert looks > 5
        assert moves > 10
        assert examine(url) == {}


def work(url: str, chance: random.Random, end: float) -> int:
    """Do what people and agents do, in short transactions, until the time is up."""
    done = 0
    with psycopg.connect(url, autocommit=True) as conn:
        while time.monotonic() < end:
            try:
                with conn.transaction(force_rollback=chance.random() < 0.1):
                    for _ in range(chance.randint(1, 4)):
                        done += act(conn, chance)
                        time.sleep(chance.choice((0, 0, 0.01)))
            except psycopg.Error as refusal:
                if (refusal.sqlstate or "")[:2] not in ("JB", "40", "55", "23"):
                    raise
    return done


def act(conn: psycopg.Connection, chance: random.Random) -> int:
    """One thing: more often work on a job than the creation or the end of one."""
    job = world.one(conn, "select id from public.jobs where finished_at is null order by random()")
    task = world.one(
        conn,
        "select t.id from public.job_tasks as t join public.jobs as j on j.id = t.job_id"
        " where j.finished_at is null order by random()",
    )
    card = world.one(conn, "select id from public.kanban_cards order by random()")
    kind = chance.choices(range(9), (1, 4, 8, 3, 4, 1, 1, 1, 1))[0]
    if job is None or kind == 0:
        world.new_job(conn, chance.choice((A, B)))
    elif kind == 1:
        world.new_task(conn, job, depends_on=chance.choice(([], None)))
    elif kind == 2 and task is not None:
        world.move_task(conn, task, chance.choice(("running", "done", "error", "skipped")))
    elif kind == 3:
        org = world.one(conn, "select org_id from public.jobs where id = %s", job)
        world.new_card(conn, job, org=org)
    elif kind == 4 and card is not None:
        world.move_card(conn, card, chance.choice(("approved", "rejected", "done", "in_review")))
    elif kind == 5 and card is not None:
        conn.execute("update public.kanban_cards set job_id = null where id = %s", [card])
    elif kind == 6:
        world.move_job(conn, job, chance.choice(("succeeded", "failed", "cancelled")))
    elif kind == 7:
        call = chance.choice(("pause_job", "resume_job"))
        conn.execute(f"select public.{call}(%s)", [job])
    else:
        conn.execute("select public.refresh_job_metrics()")
    return 1


# Drifts of which something is left that only a person can decide.
NOT_WHOLE = {
    "2190": "the trigger that was renamed is still somebody else's",
    "drop table public.job_tasks cascade": "the rows are in a backup",
    "rename column error_message": "the rows are in the column that was renamed",
}
DRIFTS = [
    case
    for case in BROKEN
    if "by hand" not in case
    and not case[1].startswith(ADOPT)
    and not any(case[0] == part or part in case[1] for part in NOT_WHOLE)
]


class TestRemedies:
    """Every drift is named, and what verify says ends it: SQL that is run, or a command."""

    def test_at_least_forty_drifts_are_planted(self) -> None:
        assert len({case[1] for case in DRIFTS}) >= 40

    @pytest.mark.parametrize(
        "case", DRIFTS, ids=lambda case: f"{case[0]} {' '.join(case[1].split())[:60]}"
    )
    def test_end_the_drift_in_all_layers(
        self, server: Server, busy_url: str, case: tuple[str, ...]
    ) -> None:
        number, breaking, text, *_ = case
        with (
            psycopg.connect(busy_url, autocommit=True) as conn,
            conn.transaction(force_rollback=True),
        ):
            conn.execute(breaking)
            found = inspect(conn)
            assert text in said(next(r for r in found if r.check.number == number))
            if mended(conn):
                return
        # A command sees only what is committed.
        with (
            new_database(server, commands.database(busy_url)) as url,
            psycopg.connect(url, autocommit=True) as conn,
        ):
            conn.execute(breaking)
            for _ in range(5):
                with conn.transaction():
                    mended(conn)
                left = [f.fix for r in verify.examine(conn) for f in r.findings]
                if not left:
                    return
                command = next((fix for fix in left if (fix or "").startswith("jobsdb ")), None)
                assert command, f"no remedy left to run: {left}"
                assert main([*command.split()[1:], "-d", url]) == Exit.DONE
        pytest.fail(f"still there: {left}")


def mended(conn: psycopg.Connection) -> bool:
    """Run the SQL that verify proposes, check by check, until it proposes none; is all well now?"""
    for _ in range(10):
        found = [r for r in inspect(conn) if r.findings and r.check.number != "3350"]
        if not found:
            return True
        fixes = ([f.fix for f in r.findings if is_sql(f.fix)] for r in found)
        for fix in next((dict.fromkeys(some) for some in fixes if some), ()):
            conn.execute(fix.replace(" concurrently", "").replace(" CONCURRENTLY", ""))
    return False


def is_sql(fix: str | None) -> bool:
    """Whether a remedy is there to be run, and not to be read."""
    try:
        return bool(pglast.parse_sql(fix or ""))
    except pglast.parser.ParseError:
        return False


class TestAgain:
    """What needs the present state applied again is mended by the sentence that says so."""

    @pytest.mark.parametrize(
        "breaking",
        [
            "drop trigger jobsdb_t30_guard on public.kanban_cards",
            "drop function public.get_job_progress(uuid)",
            "alter function jobsdb.my_org_ids() immutable",
            "create or replace function jobsdb.reviews_cards(params jsonb) returns boolean"
            " language sql immutable return false",
            "alter view public.job_metrics reset (security_barrier)",
            "drop view public.job_performance_summary; drop view public.recent_job_activity",
            "alter policy tenant_reads_own_jobs on public.jobs using (org_id = auth.uid())",
        ],
    )
    def test_again(self, url: str, db: psycopg.Connection, breaking: str) -> None:
        db.execute(breaking)
        found = examine(url)
        assert AGAIN in "".join(found.values())
        migrate(url)
        assert examine(url) == found, "the ledger has not changed, so there is nothing to do"
        assert main([*AGAIN.split()[1:], "-d", url]) == 0
        assert examine(url) == {}

    def test_a_row_that_is_gone_from_the_ledger_is_put_back(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute("delete from jobsdb.ledger where file like '%add_job_links.sql'")
        _, colon, put_back = examine(url)["1010"].partition("row is gone: ")
        assert colon
        db.execute(put_back)
        assert examine(url) == {}

    def test_unfinished_adoption_is_finished_by_migrate(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute("drop index public.jobsdb_runs_of_job")
        assert set(examine(url)) == {"1050", "2150", "3190"}
        migrate(url)
        assert examine(url) == {}


class TestDriftThatStopsACheck:
    def test_a_check_that_cannot_look_fails_and_the_others_go_on(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute("drop table jobsdb.runnable_jobs, jobsdb.metrics_refresh")
        found = examine(url)
        assert 'relation "jobsdb.runnable_jobs" does not exist' in found["4190"]
        assert 'relation "jobsdb.metrics_refresh" does not exist' in found["4220"]
        assert "jobsdb.runnable_jobs" in found["2110"]
        assert "4200" not in found

    def test_without_a_ledger(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop table jobsdb.ledger")
        assert 'relation "jobsdb.ledger" does not exist' in examine(url)["1010"]

    def test_half_installed(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop schema jobsdb cascade; create schema jobsdb")
        found = examine(url)
        assert "public.job_metrics" in found["2010"]
        assert "1010" in found


@pytest.fixture
def reader(server: Server, db: psycopg.Connection, url: str) -> Iterator[str]:
    """The URL of the database for a role that may connect and nothing else."""
    db.execute("create role jobsdb_test_reader login")
    yield url.replace("postgres@", "jobsdb_test_reader@")
    db.execute("drop owned by jobsdb_test_reader; drop role jobsdb_test_reader")


class TestRights:
    def test_to_connect_is_enough_for_structure_and_security(self, reader: str) -> None:
        assert examine(reader, "structure", "security") == {}

    def test_and_drift_is_seen_by_who_may_only_connect(
        self, reader: str, db: psycopg.Connection
    ) -> None:
        db.execute("alter table public.jobs disable trigger t10_guard_upd")
        db.execute("alter table public.job_tasks drop column output")
        db.execute("drop function public.get_job_cards(uuid)")
        found = examine(reader, "structure", "security")
        assert set(found) == {"2030", "2120", "2170", "3170", "3080"}

    def test_what_cannot_be_read_is_said(self, reader: str) -> None:
        done = commands.run("verify", "-d", reader)
        assert done.returncode == Exit.CONNECT
        assert "  skip  1010 Every migration is applied" in done.stdout
        assert "why:     permission denied for schema jobsdb" in done.stdout
        assert "FAIL" not in done.stdout
        assert "grant pg_read_all_data to jobsdb_test_reader" in done.stderr
        done = commands.run("verify", "-d", reader, "--layer", "structure", "--layer", "security")
        assert done.returncode == Exit.DONE

    def test_rows_a_policy_hides_are_not_taken_for_none(
        self, reader: str, db: psycopg.Connection
    ) -> None:
        db.execute("grant pg_read_all_data to jobsdb_test_reader")
        found = examine(reader, "ledger", "data")
        assert "query would be affected by row-level security" in found["1010"]
        db.execute("alter role jobsdb_test_reader bypassrls")
        assert set(examine(reader, "ledger", "data")) == {"1050", "4270", "4280"}
        for function in (
            "adoption_steps()",
            "rollup_of(uuid, boolean)",
            "contact_problem(jsonb)",
        ):
            db.execute(f"grant execute on function jobsdb.{function} to jobsdb_test_reader")
        assert examine(reader, "ledger", "data") == {}

    def test_it_only_reads(self, url: str, db: psycopg.Connection) -> None:
        verify._run_all(db, verify._BEGIN)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            db.execute("delete from jobsdb.missed_steps")
        db.execute("rollback")
        verify._run_all(db, verify._BEGIN)
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            db.execute("set transaction read write")


class TestOutput:
    def test_text(self, url: str) -> None:
        done = commands.run("verify", "-d", url)
        assert done.returncode == Exit.DONE
        assert done.stderr.startswith("connected to postgres@")
        lines = done.stdout.splitlines()
        assert lines[0] == "  ok    1010 Every migration is applied"
        assert lines[-1].startswith(f"{len(CHECKS)} checks, ")
        assert max(map(len, lines)) <= 80
        assert len(lines) == len(CHECKS) + 1

    def test_text_of_a_failure(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop index public.job_tasks_later")
        db.execute("comment on column public.jobs.id is null")
        for number in range(9):
            db.execute(f"create table jobsdb.stray_{number} (org_id uuid not null)")
        done = commands.run("verify", "-d", url, "--layer", "structure")
        assert done.returncode == Exit.NO
        assert (
            "  FAIL  2150 Every index is as released\n"
            "          so:      claims, metrics and deletes read whole tables, or a unique rule is"
            " gone\n"
            "          see:     sql/verify/2150_every_index_is_as_released.sql\n"
            "          public.job_tasks.job_tasks_later\n"
            "          missing: CREATE INDEX job_tasks_later ON public.job_tasks"
        ) in done.stdout
        assert "          fix:     CREATE INDEX CONCURRENTLY job_tasks_later" in done.stdout
        assert "  warn  2210 Everything is commented\n" in done.stdout
        assert "          and 4 more: --format json\n" in done.stdout
        assert re.search(r"^\d+ checks, \d+ ok, 1 failed, 3 warned\.$", done.stdout, re.MULTILINE)

    def test_a_warning_alone_is_clean(self, url: str, db: psycopg.Connection) -> None:
        db.execute("comment on column public.jobs.id is null")
        done = commands.run("verify", "-d", url)
        assert done.returncode == Exit.DONE
        assert "  warn  2210" in done.stdout

    def test_tap(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop index public.job_tasks_later")
        done = commands.run("verify", "-d", url, "--format", "tap")
        assert done.returncode == Exit.NO
        lines = done.stdout.splitlines()
        assert lines[:3] == [
            "TAP version 13", f"1..{len(CHECKS)}", "ok 1 - 1010 Every migration is applied",
        ]  # fmt: skip
        results = [line for line in lines if re.match(r"(not )?ok \d+ - \d{4} ", line)]
        assert len(results) == len(CHECKS)
        (failed,) = (line for line in lines if line.startswith("not ok"))
        assert failed.endswith("2150 Every index is as released")
        after = lines[lines.index(failed) + 1 :]
        assert after[0] == "  ---"
        assert after[4] == '    - object: "public.job_tasks.job_tasks_later"'
        assert "  ..." in after

    def test_json(self, url: str, db: psycopg.Connection) -> None:
        db.execute("drop index public.job_tasks_later")
        done = commands.run("verify", "-d", url, "--json")
        assert done.returncode == Exit.NO
        document = json.loads(done.stdout)
        assert document["version"] == 1
        assert document["clean"] is False
        assert document["counts"]["FAIL"] == 1
        assert document["database"]["user"] == "postgres"
        (failed,) = (check for check in document["checks"] if check["result"] == "FAIL")
        assert failed["number"] == "2150"
        assert failed["file"] == "sql/verify/2150_every_index_is_as_released.sql"
        assert (SQL.parent / failed["file"]).is_file()
        (finding,) = failed["findings"]
        assert finding["object"] == "public.job_tasks.job_tasks_later"
        assert finding["level"] == "failure"
        assert finding["extra"] is None

    def test_layers(self, url: str) -> None:
        done = commands.run("verify", "-d", url, "--layer", "data", "--layer", "ledger", "--json")
        layers = {check["layer"] for check in json.loads(done.stdout)["checks"]}
        assert layers == {"data", "ledger"}

    def test_not_installed(self, empty_url: str) -> None:
        done = commands.run("verify", "-d", empty_url)
        assert done.returncode == Exit.NO
        assert done.stdout == ""
        assert "error: jobsdb is not installed in this database\n" in done.stderr
        assert "hint: Install it: jobsdb migrate\n" in done.stderr

    def test_names_of_objects_cannot_move_the_terminal(
        self, url: str, db: psycopg.Connection
    ) -> None:
        db.execute('create table jobsdb."\x1b[2Jgone" ()')
        done = commands.run("verify", "-d", url, "--layer", "structure")
        assert "\x1b" not in done.stdout
        assert "\ufffd[2Jgone" in done.stdout


# Number of the proof, what breaks it, and an assertion that must then fail.
WRONG: list[tuple[str, str, str]] = [
    (
        "5010",
        "alter table public.jobs disable trigger t10_guard_upd",
        "a job goes from succeeded to running in plain SQL",
    ),
    (
        "5010",
        "delete from jobsdb.transitions where (from_status, to_status) = ('running', 'failed')",
        "a job goes from running to failed by function",
    ),
    (
        "5010",
        "create or replace function auth.uid() returns uuid language sql stable as"
        " 'select gen_random_uuid()'",
        "auth.uid() is who the token names",
    ),
    (
        "5020",
        "insert into jobsdb.transitions values ('task', 'done', 'pending', 'again')",
        "a task goes from done to pending",
    ),
    (
        "5020",
        "alter table public.job_tasks disable trigger t50_metrics_ins",
        "no task can be added",
    ),
    (
        "5030",
        "alter table public.kanban_cards disable trigger jobsdb_t30_guard",
        "an agent cannot approve",
    ),
    (
        "5030",
        "alter table public.kanban_cards disable trigger jobsdb_t20_complete_upd",
        "an edit afterwards is allowed",
    ),
    ("5040", "alter table public.job_tasks disable trigger t50_metrics_del", "are counted too"),
    (
        "5040",
        "alter table jobsdb.job_deltas disable trigger t50_fold_at_commit",
        "the columns of jobs say the same",
    ),
    (
        "5050",
        "alter table public.jobs disable row level security",
        "tenant b sees nothing of public.jobs",
    ),
    (
        "5050",
        "alter view public.recent_job_activity reset (security_invoker)",
        "tenant b sees nothing of public.recent_job_activity",
    ),
    (
        "5050",
        "create or replace function jobsdb.may_see(org_id uuid) returns boolean language plpgsql"
        " stable security definer as 'begin return true; end'",
        "tenant b calls cancel_job for a job of a",
    ),
    (
        "5050",
        "alter view public.review_queue reset (security_invoker);"
        " alter function jobsdb.card_of security definer",
        "tenant b sees nothing of public.review_queue",
    ),
    *(
        (
            "5050",
            "create or replace function jobsdb.may_see(org_id uuid) returns boolean"
            " language plpgsql stable security definer as 'begin return true; end'",
            f"tenant b calls {name} for what is a's",
        )
        for name in ("create_job", "erase_contact", "export_contact", "resolve_unknown")
    ),
    (
        "5050",
        "grant execute on function public.claim_sends to authenticated",
        "tenant b calls claim_sends for a job of a",
    ),
    ("5060", "grant select on public.jobs to anon", "anon reads public.jobs"),
    (
        "5060",
        "grant select on public.review_queue to anon;"
        " grant execute on function jobsdb.card_of, jobsdb.card_hash to anon;"
        " alter view public.review_queue reset (security_invoker)",
        "anon reads public.review_queue",
    ),
    (
        "5060",
        "create or replace function jobsdb.may_see(org_id uuid) returns boolean language plpgsql"
        " stable security definer as 'begin return true; end'",
        "a token without sub: select public.dry_run_job",
    ),
    (
        "5060",
        "grant select, update on public.jobs to public",
        "anon: update public.jobs set name = 'x' where id = {job}",
    ),
    (
        "5060",
        "create or replace function jobsdb.my_org_ids() returns uuid[] language sql stable"
        " security definer as 'select array(select j.org_id from public.jobs as j) || auth.uid()'",
        "a token without sub reads public.jobs",
    ),
    (
        "5070",
        "grant update (tasks_done) on public.jobs to authenticated",
        "out of a tenant's reach: counters",
    ),
    ("5070", "grant truncate on public.jobs to public", "a table, locked"),
    (
        "5070",
        "grant usage on schema jobsdb to authenticated",
        "a private function, although granted",
    ),
    ("5070", "grant delete on jobsdb.card_reviews to service_role", "approvals, written by hand"),
]


class TestBehaviour:
    def test_is_proved_on_a_healthy_database(self, busy_url: str) -> None:
        count = "select count(*) from {}"
        tables = ("public.jobs", "public.job_tasks", "public.kanban_cards", "jobsdb.events")
        with psycopg.connect(busy_url, autocommit=True) as conn:
            before = [world.one(conn, count.format(table)) for table in tables]
            results = behaviour.prove(conn, yes=True)
            assert not_ok(results) == {}
            assert [result.check.number for result in results] == list(PROOFS)
            assert sum(result.passed for result in results) > 200
            assert before == [world.one(conn, count.format(table)) for table in tables]
            assert world.one(conn, "select to_regnamespace('jobsdb_proof')") is None
            assert world.one(conn, "select current_user") == "postgres"

    @pytest.mark.parametrize(("number", "breaking", "assertion"), WRONG)
    def test_is_disproved(
        self,
        url: str,
        db: psycopg.Connection,
        monkeypatch: pytest.MonkeyPatch,
        number: str,
        breaking: str,
        assertion: str,
    ) -> None:
        db.execute(breaking)
        monkeypatch.setattr(behaviour, "load_proofs", lambda: [PROOFS[number]])
        (result,) = behaviour.prove(db, yes=True)
        assert result.word == "FAIL"
        assert assertion in said(result)

    def test_every_proof_is_disproved_here(self) -> None:
        assert {number for number, *_ in WRONG} == set(PROOFS)

    def test_every_function_of_tenants_is_tried_by_a_stranger_and_by_nobody(
        self, db: psycopg.Connection
    ) -> None:
        names = world.column(
            db,
            "select proname from pg_proc where pronamespace = 'public'::regnamespace",
        )
        assert names
        for number in ("5050", "5060"):
            assert [name for name in names if f"public.{name}(" not in PROOFS[number].sql] == []

    def test_every_table_and_view_is_tried_by_a_stranger_and_by_nobody(
        self, db: psycopg.Connection
    ) -> None:
        names = world.column(
            db,
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'v', 'm')",
        )
        assert [name for name in names if f"'public.{name}'" not in PROOFS["5050"].sql] == []
        ours = set(names) - {"kanban_cards", "agent_runs"}
        assert [name for name in ours if f"'public.{name}'" not in PROOFS["5060"].sql] == []

    def test_is_refused_where_there_are_jobs(self, busy_url: str) -> None:
        done = commands.run("verify", "-d", busy_url, "--behaviour", "--layer", "ledger")
        assert done.returncode == Exit.REFUSED
        assert "this database has jobs" in done.stderr
        assert "--yes" in done.stderr

    def test_is_refused_on_a_replica(
        self, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(behaviour, "_IS_REPLICA", "select true")
        with pytest.raises(JobsdbError, match="read replica") as wrong:
            behaviour.prove(db, yes=True)
        assert wrong.value.code == Exit.REFUSED

    def test_by_command(self, url: str) -> None:
        done = commands.run("verify", "-d", url, "--behaviour", "--layer", "ledger")
        assert done.returncode == Exit.DONE, done.stdout
        assert re.search(
            r"^  ok    5010 A job moves as the contract says \(\d+ assertions\)$",
            done.stdout,
            re.MULTILINE,
        )
        assert "rolled back; only the numbers of sequences have moved on" in done.stderr

    def test_says_which_right_is_missing(self, reader: str, db: psycopg.Connection) -> None:
        with psycopg.connect(reader, autocommit=True) as conn:
            with pytest.raises(JobsdbError) as wrong:
                behaviour.prove(conn, yes=True)
            assert wrong.value.code == Exit.CONNECT
            assert wrong.value.detail == "cannot become anon, authenticated, service_role"
            db.execute("grant anon, authenticated, service_role to jobsdb_test_reader")
            with pytest.raises(JobsdbError, match="may not create one"):
                behaviour.prove(conn, yes=True)

    def test_waits_for_nobody(
        self, url: str, db: psycopg.Connection, connect: Callable[..., psycopg.Connection]
    ) -> None:
        holder = connect(autocommit=False)
        holder.execute("lock table public.jobs in exclusive mode")
        with pytest.raises(JobsdbError, match="a lock was not obtained in time") as wrong:
            behaviour.prove(db, yes=True)
        assert wrong.value.code == Exit.LOCK
        holder.rollback()
        assert world.one(db, "select to_regnamespace('jobsdb_proof')") is None

    def test_what_a_hosts_table_does_not_take_is_not_tried(self, empty_url: str) -> None:
        with psycopg.connect(empty_url, autocommit=True) as conn:
            world.make_prerequisites(conn)
            conn.execute(ADOPTED["plain"])
            conn.execute("alter table public.kanban_cards add column board int")
            conn.execute("update public.kanban_cards set board = 1")
            conn.execute("alter table public.kanban_cards alter column board set not null")
        migrate(empty_url)
        done = commands.run("verify", "-d", empty_url, "--behaviour")
        assert done.returncode == Exit.DONE, done.stdout
        assert "  skip  5030 A card moves as the contract says" in done.stdout
        assert 'null value in column "board"' in done.stdout
