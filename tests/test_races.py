"""Two sessions at once, stepped: each pair of moves ends as if one had come after the other."""

import itertools
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from stepping import Stage, open_stage

# What people, agents and operators send; who not said otherwise is the tenant.
MOVE = "select (public.transition_job_status(%(job)s, '{}')).status"
TASK = "update public.job_tasks set status = '{}' where id = %({})s"
CARD = "update public.kanban_cards set state = '{}' where id = %(card_{})s"
ADD = "insert into public.job_tasks (job_id, step, kind, depends_on) values (%(job)s, {})"
MOVES = {
    "start": MOVE.format("running"),
    "succeed": MOVE.format("succeeded"),
    "fail": MOVE.format("failed"),
    "cancel": "select (public.cancel_job(%(job)s)).status",
    "cancel by update": "update public.jobs set status = 'cancelled' where id = %(job)s",
    "pause": "select (public.pause_job(%(job)s)).status",
    "resume": "select (public.resume_job(%(job)s)).status",
    "rename": "update public.jobs set name = 'renamed' where id = %(job)s",
    "complete": TASK.format("done", "running"),
    "complete unclaimed": TASK.format("done", "pending"),
    "claim": TASK.format("running", "pending") + " and status = 'pending'",
    "release": TASK.format("pending", "running") + " and status = 'running'",
    "error": TASK.format("error", "running"),
    "retry": TASK.format("pending", "error") + " and status = 'error'",
    "skip": TASK.format("skipped", "error"),
    "complete all": "update public.job_tasks set status = 'done'"
    " where job_id = %(job)s and status in ('pending', 'running')",
    "add": ADD.format("8, 'research', '{}'"),
    "add after all": ADD.format("7, 'research', null"),
    "add after one": ADD.format("9, 'research', '{2}'"),
    "add after error": ADD.format("10, 'research', '{4}'"),
    "approve": CARD.format("approved", "shown"),
    "reject": CARD.format("rejected", "shown"),
    "show again": CARD.format("in_review", "rejected"),
    "execute": CARD.format("done", "approved"),
    "show": "insert into public.kanban_cards (org_id, job_id, task_id, type, title)"
    " values (%(org)s, %(job)s, %(running)s, 'send_email', 'new')",
    "link": "update public.kanban_cards set job_id = %(job)s where id = %(card_free)s",
    "link approved": "update public.kanban_cards set job_id = %(job)s, task_id = %(done)s"
    " where id = %(card_free_approved)s",
    "move away": "update public.kanban_cards set job_id = %(other)s, task_id = null"
    " where id = %(card_shown)s",
    "unlink": "update public.kanban_cards set job_id = null where id = %(card_shown)s",
}
OPERATIONS = {
    "delete task": "delete from public.job_tasks where id = %(pending)s",
    "delete card": "delete from public.kanban_cards where id = %(card_shown)s",
    "delete job": "delete from public.jobs where id = %(job)s",
    "refresh": "select public.refresh_job_metrics() is not null",
    "finish closed": "select jobsdb.finish_closed_jobs()",
}
ALL = MOVES | OPERATIONS


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with open_stage(url) as stage:
        yield stage
