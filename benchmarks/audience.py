"""Campaigns with many contacts: freezing the audience, and planning its first touch."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.harness import TENANT, Figure, as_tenant, in_turn, seconds

BATCH_SIZE = 10
"""Contacts a task; for each such chunk a task that drafts and one that sends are planned."""
CALL = 10_000
"""Contacts that upsert_contacts takes at most."""
MAIL = {
    "subject": "Hello {{first_name}}",
    "body": "<p>Dear {{first_name}} of {{company}},</p><p>may we call you about your portal?</p>",
}
PARAMS = {
    "target_group": "AMC",
    "target_filter": {"active": True},
    "cadence": {"day0": True, "day4": True, "day10": True},
    "templates": {"intro": MAIL, "followup1": MAIL, "followup2": MAIL},
    "batch_size": BATCH_SIZE,
}
ADD = """
select upsert_contacts(jsonb_agg(jsonb_build_object(
  'contact_key', gen_random_uuid(),
  'email', 'contact' || n || '@example' || n %% 100 || '.com',
  'groups', array['AMC', 'group' || n %% 10],
  'attributes', jsonb_build_object(
    'first_name', 'Ann' || n, 'company', 'Company ' || n %% 1000, 'state', 'FL', 'active', true
  )
)))
from generate_series(%s::int, %s) as n
"""


def add_contacts(conn: psycopg.Connection, contacts: int) -> None:
    """So many contacts of the tenant that PARAMS addresses."""
    for first in range(1, contacts + 1, CALL):
        with as_tenant(conn):
            conn.execute(ADD, (first, min(first + CALL - 1, contacts)))


class Bare:
    """A table beside one of ours: its columns, checks and indexes, no trigger, no foreign key."""

    def __init__(self, conn: psycopg.Connection, table: str) -> None:
        self.conn, self.table = conn, table
        conn.execute(f"create table bare (like {table} including all)")
        ((options,),) = conn.execute(
            "select array_to_string(reloptions, ',') from pg_class where oid = %s::regclass",
            (table,),
        ).fetchall()
        if options:
            conn.execute(f"alter table bare set ({options})")
        ((self.columns,),) = conn.execute(
            "select string_agg(attname, ', ' order by attnum) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped"
            " and attidentity = '' and attname <> 'job_id'",
            (table,),
        ).fetchall()

    def keep(self, job: UUID) -> None:
        """What insert writes: the rows of this job, in the order in which they were inserted."""
        self.conn.execute(
            f"create table kept as select {self.columns} from {self.table}"
            f" where job_id = '{job}' order by ctid"
        )
        self.conn.execute("vacuum analyze kept")

    def insert(self) -> None:
        """The same rows, of another job."""
        insert = f"insert into bare (job_id, {self.columns}) select %s, * from kept"
        self.conn.execute(insert, (uuid4(),))

    def drop(self) -> None:
        """Make room for another table's."""
        self.conn.execute("drop table bare, kept")


def figures(url: str, contacts: int) -> Iterator[Figure]:
    """All in one database: every job addresses the same contacts."""
    with psycopg.connect(url, autocommit=True) as conn:
        add_contacts(conn, contacts)
        conn.execute("vacuum analyze")
        enrolled: list[UUID] = []

        def new_job() -> UUID:
            with as_tenant(conn):
                ((job,),) = conn.execute(
                    "insert into jobs (name, params) values ('x', %s) returning id",
                    (Jsonb(PARAMS),),
                ).fetchall()
            return UUID(str(job))

        def enrol() -> float:
            job = new_job()
            enrolled.append(job)
            return seconds(lambda: conn.execute("select jobsdb.enrol_contacts(%s)", (job,)))

        def plan() -> float:
            job = enrolled.pop()
            add = "insert into jobsdb.planned_jobs (job_id, org_id) values (%s, %s)"
            conn.execute(add, (job, TENANT))

            def call() -> None:
                with as_tenant(conn):
                    conn.execute("select plan_next_batch(%s)", (job,))

            return seconds(call)

        bare = Bare(conn, "jobsdb.job_contacts")
        enrol()
        bare.keep(enrolled[0])
        yield in_turn(
            f"enrolling {contacts:,} contacts in one call ÷ inserting the same rows bare",
            3,
            enrol,
            lambda: seconds(bare.insert),
        )
        bare.drop()

        conn.execute("vacuum analyze")
        bare = Bare(conn, "public.job_tasks")
        job = enrolled[-1]
        plan()
        bare.keep(job)
        tasks = 2 * -(-contacts // BATCH_SIZE)
        yield in_turn(
            f"planning {contacts:,} contacts in one call ÷ inserting the same {tasks:,} rows bare",
            3,
            plan,
            lambda: seconds(bare.insert),
        )
        bare.drop()
