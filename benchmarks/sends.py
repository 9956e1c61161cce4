"""Sending e-mails: claim_sends, begin_send and settle_send beside the least a ledger can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.audience import PARAMS, add_contacts
from benchmarks.harness import Figure, as_tenant, in_turns, seconds, touched, wal
from benchmarks.worker import Worker

PAIRS = 5
FLOOR = """
create table floor (
  id bigint generated always as identity primary key,
  idempotency_key text not null unique,
  recipient text not null,
  subject text not null,
  body text not null,
  state text not null default 'queued'
) with (fillfactor = 80);
"""
ADD = (
    "insert into floor (idempotency_key, recipient, subject, body)"
    " values (%s, 'contact1@example.com', 'Hello Ann1', %s) returning id"
)
BODY = "<p>Dear Ann1 of Company 1,</p><p>may we call you about your portal?</p>"
MOVE = "update floor set state = %s where id = %s"


def queue_sends(conn: psycopg.Connection, worker: Worker, sends: int) -> None:
    """A running job of which so many e-mails are drafted and approved."""
    add_contacts(conn, sends)
    with as_tenant(conn):
        payload = Jsonb({"name": "x", "params": PARAMS})
        ((job,),) = conn.execute("select id from create_job(%s)", (payload,)).fetchall()
        conn.execute("select transition_job_status(%s, 'running')", (job,))
    conn.execute("vacuum analyze")
    worker.claim(sends, "draft_email")
    for task in worker.ids:
        worker.conn.execute("select draft_cards(%s, %s)", (task, worker.token))
    worker.complete()
    conn.execute("vacuum analyze")
    with as_tenant(conn):
        conn.execute("update kanban_cards set state = 'approved' where job_id = %s", (job,))
    conn.execute("vacuum analyze")


def cost(conn: psycopg.Connection, action: Callable[[], object], times: int) -> list[float]:
    """Seconds, bytes of log and buffers of what an action does so many times."""
    seen: list[float] = []
    seen.append(touched(conn, lambda: seen.append(wal(conn, lambda: seen.append(seconds(action))))))
    return [each / times for each in seen]


def figures(url: str, sends: int) -> Iterator[Figure]:
    """Each way of claiming sends so many, each send in transactions of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(FLOOR)
        conn.execute("grant all on floor to service_role")
        turn = sends // PAIRS
        queued = 2 * (PAIRS + 1) * turn
        # As many rows as ours has, so that no plan is made for an empty table.
        conn.execute(
            "insert into floor (idempotency_key, recipient, subject, body)"
            " select 'old ' || n, '', '', %s from generate_series(1, %s) as n",
            (BODY, queued),
        )
        worker = Worker(url)
        queue_sends(conn, worker, queued)
        conn.execute("select pg_stat_force_next_flush()")  # else it comes amid what is counted
        messages = count()

        def sender(claim: int) -> Callable[[], list[float]]:
            return lambda: cost(worker.conn, lambda: send(claim), turn)

        def send(claim: int) -> None:
            for _ in range(turn // claim):
                found = worker.conn.execute(
                    "select id, lease_token from claim_sends('w', %s)", (claim,)
                ).fetchall()
                for lease in found:
                    begin = "select verdict from begin_send(%s, %s)"
                    ((verdict,),) = worker.conn.execute(begin, lease).fetchall()
                    settle = "select settle_send(%s, %s, 'sent', 'provider', %s)"
                    ((told,),) = worker.conn.execute(settle, (*lease, f"m{next(messages)}"))
                    if (verdict, told) != ("ok", "ok"):
                        raise RuntimeError(f"{verdict}, {told}")

        def floor() -> None:
            for _ in range(turn):
                key = f"{next(messages):064}"
                ((row,),) = worker.conn.execute(ADD, (key, BODY)).fetchall()
                worker.conn.execute(MOVE, ("dispatching", row))
                worker.conn.execute(MOVE, ("sent", row))

        for claim in (1, 100):
            what = f"a send, claimed by {claim}"
            beside = f"{what} ÷ an insert and two updates of a bare ledger"
            seen = in_turns(
                [(beside, "seconds"), (beside, "bytes"), (beside, "buffers")],
                0,
                sender(claim),
                lambda: cost(worker.conn, floor, turn),
                PAIRS,
            )
            yield from seen
            for figure in seen[1:]:
                yield replace(figure, what=what, reference=[1.0] * PAIRS)
        ((done, left),) = conn.execute(
            "select count(*) filter (where state = 'sent'), count(*) filter (where state <> 'sent')"
            " from jobsdb.sends"
        ).fetchall()
        if (done, left) != (queued, 0):
            raise RuntimeError(f"{done} are sent, {left} are not")
        worker.conn.close()
