"""A page of the review queue, where many cards wait and where few do."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg

from benchmarks.harness import Figure, as_tenant, buffers

OWN = "aaaaaaaa-0000-0000-0000-000000000001"
OTHER = "aaaaaaaa-0000-0000-0000-000000000002"
BAR = 2
PAGE = 50
TIMES = 5
ADD = """
insert into kanban_cards (org_id, job_id, type, title, state, content)
select auth.uid(), %s, 'send_email', 'Email: contact ' || n, 'in_review', jsonb_build_object(
  'to', 'contact' || n || '@example.com', 'subject', 'Hello', 'body', '<p>Dear ' || n || '</p>'
)
from generate_series(1, %s) as n
"""
ONE_JOB = "of one job"
PAGES = {
    "in its own order": "select * from review_queue limit {limit}",
    "by since": "select * from review_queue order by since limit {limit}",
    ONE_JOB: "select * from review_queue where job_id = '{job}' limit {limit}",
}


def job_with_cards(conn: psycopg.Connection, tenant: str, cards: int) -> UUID:
    """A job of a tenant with so many cards that wait for a person, later than all others."""
    with as_tenant(conn, tenant):
        ((job,),) = conn.execute("insert into jobs (name) values ('x') returning id").fetchall()
        conn.execute(ADD, (job, cards))
    conn.execute("vacuum analyze")
    return UUID(str(job))


def pages(conn: psycopg.Connection, tenant: str, job: UUID) -> dict[str, list[float]]:
    """Buffers of each of PAGES; the first time, when the session learns the tables, is left out."""
    with as_tenant(conn, tenant):
        return {
            what: [buffers(conn, page.format(job=job, limit=PAGE)) for _ in range(TIMES + 1)][1:]
            for what, page in PAGES.items()
        }


def figures(
    url: str, many: int = 100_000, some: int = 10_000, few: int = 1_000
) -> Iterator[Figure]:
    """Buffers, so no clock; `some` of two tenants are where the planner decides otherwise."""
    with psycopg.connect(url, autocommit=True) as conn:

        def job_alone(cards: int) -> UUID:
            conn.execute("truncate kanban_cards")
            conn.execute("vacuum")
            return job_with_cards(conn, OWN, cards)

        reference = pages(conn, OWN, job_alone(few))
        job = job_alone(some)
        job_with_cards(conn, OTHER, few)
        seen = {f"{some:,} wait before {few:,} of another tenant": pages(conn, OWN, job)}
        seen[f"{many:,} wait"] = pages(conn, OWN, job_alone(many))
        last = pages(conn, OWN, job_with_cards(conn, OWN, few))
        seen[f"{few:,} wait behind {many:,} of the same tenant"] = {ONE_JOB: last[ONE_JOB]}
        others = f"{few:,} wait behind {many:,} of another tenant"
        seen[others] = pages(conn, OTHER, job_with_cards(conn, OTHER, few))
        for who, touched in seen.items():
            for what, subject in touched.items():
                whole = f"a page of review_queue {what}, {who} ÷ only {few:,} wait"
                yield Figure(whole, "buffers", BAR, subject, reference[what])
