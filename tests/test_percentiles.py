"""Percentiles of durations, exact or within a hundredth, whatever times tenants write."""

import itertools
import math
import random
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import SOAK, as_service, as_tenant
from stepping import WRONG
from test_metrics import REFRESH, metrics, percentile
from world import A, B, new_job, new_task, one

FRACTIONS = [0.0, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]
Sketch = tuple[list[float], list[int]]


def sketch(conn: psycopg.Connection, *parts: Sketch) -> Sketch:
    """The distribution of what several have, added up in one step."""
    seconds = [value for part in parts for value in part[0]]
    counts = [count for part in parts for count in part[1]]
    query = "select s.seconds, s.counts from jobsdb.sketch(%s::float8[], %s::bigint[]) as s"
    return conn.execute(query, [seconds, counts]).fetchone()


def percentiles(conn: psycopg.Connection, of: Sketch) -> list[float]:
    query = (
        "select jobsdb.percentiles(row(%s::float8[], %s::bigint[])::jobsdb.sketch, %s::float8[])"
    )
    return one(conn, query, *of, FRACTIONS)


def percentile_cont(conn: psycopg.Connection, of: Sketch) -> list[float]:
    return one(
        conn,
        "select percentile_cont(%s::float8[]) within group (order by v)"
        " from unnest(%s::float8[], %s::int[]) as u (v, n), generate_series(1, n)",
        FRACTIONS,
        *of,
    )


bounded = settings(
    max_examples=500 if SOAK else 60,
    deadline=None,
    derandomize=not SOAK,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SECONDS = st.floats(-1e13, 1e13) | st.sampled_from([0.0, 0.25, 1.0, -1.0, 60.0, None])
DURATIONS = st.lists(st.tuples(SECONDS, st.integers(1, 30)), min_size=1, max_size=60)


@bounded
@given(values=DURATIONS.filter(lambda v: any(s is not None for s, _ in v)), cut=st.integers(0, 60))
def test_percentiles_of_few_durations_are_exact_in_however_many_steps_they_came(
    tx: psycopg.Connection, values: list[tuple[float | None, int]], cut: int
) -> None:
    def part(some: list[tuple[float | None, int]]) -> Sketch:
        return [value for value, _ in some], [count for _, count in some]

    wanted = percentile_cont(tx, part(values))
    at_once = sketch(tx, part(values))
    assert at_once[0] == sorted({value for value, _ in values if value is not None})
    assert sum(at_once[1]) == sum(count for value, count in values if value is not None)
    assert percentiles(tx, at_once) == wanted
    in_steps = sketch(tx, sketch(tx, part(values[:cut])), part(values[cut:]))
    assert in_steps == at_once
    assert sketch(tx, at_once) == at_once


def test_a_thousand_different_durations_are_exact_and_one_more_is_not(
    tx: psycopg.Connection,
) -> None:
    thousand = [n + 0.125 for n in range(1000)], [1] * 1000
    assert sketch(tx, thousand) == thousand
    assert percentiles(tx, sketch(tx, thousand)) == percentile_cont(tx, thousand)
    assert len(sketch(tx, thousand, ([1000.125], [1]))[0]) < 500


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
@pytest.mark.parametrize("low", [0.002, 10.0, 1e9])
def test_percentiles_of_many_durations_are_within_a_hundredth(
    tx: psycopg.Connection, seed: int, steps: int, low: float
) -> None:
    choose = random.Random(f"{seed} {steps}")
    values = [low * math.exp(choose.uniform(0, 9)) for _ in range(4000)]
    counts = [choose.choice([1, 1, 1, 9]) for _ in values]
    parts = [(values[n::steps], counts[n::steps]) for n in range(steps)]
    merged: Sketch = ([], [])
    for part in parts:
        merged = sketch(tx, merged, part)
    assert len(merged[0]) <= 2000
    assert merged[0] == sorted(merged[0])
    assert sum(merged[1]) == sum(counts)
    seen, wanted = percentiles(tx, merged), percentile_cont(tx, (values, counts))
    assert seen == pytest.approx(wanted, rel=math.exp(0.01) - 1)
    assert seen != wanted
    assert (seen[0], seen[-1]) == (min(values), max(values))


def test_many_durations_may_be_negative_and_zero(tx: psycopg.Connection) -> None:
    values = [n / 4 for n in range(-1000, 1001)]
    counts = [1] * len(values)
    for fraction, seen in zip(
        FRACTIONS, percentiles(tx, sketch(tx, (values, counts))), strict=True
    ):
        assert seen == pytest.approx(percentile(values, fraction), rel=0.0101, abs=0.001)


def test_many_durations_below_a_thousandth_of_a_second_are_within_a_hundredth(
    tx: psycopg.Connection,
) -> None:
    values = [(200 + n / 2) * 1e-6 for n in range(1100)]
    seen = percentiles(tx, sketch(tx, (values, [1] * len(values))))
    assert seen == pytest.approx([percentile(values, f) for f in FRACTIONS], rel=0.0101)


@pytest.mark.parametrize("nothing", [([], []), ([None], [3]), (None, None)])
def test_nothing_has_no_percentiles(tx: psycopg.Connection, nothing: Any) -> None:
    query = "select s.seconds, s.counts from jobsdb.sketch(%s::float8[], %s::bigint[]) as s"
    assert tx.execute(query, nothing).fetchone() == ([], [])
    query = "select jobsdb.percentiles(jobsdb.sketch(%s::float8[], %s::bigint[]), array[0.5])"
    assert one(tx, query, *nothing) in (None, [None])


def test_what_has_no_end_or_no_beginning_has_no_duration(tx: psycopg.Connection) -> None:
    moment = "2025-01-01 00:00:00+00"
    for never in ("infinity", "-infinity", None):
        for pair in ((never, moment), (moment, never), (never, never)):
            assert one(tx, SECONDS_BETWEEN, *pair) is None
    assert one(tx, SECONDS_BETWEEN, moment, "2025-01-01 00:01:00.5+00") == 60.5
    assert one(tx, SECONDS_BETWEEN, "2025-01-01 00:01:00+00", moment) == -60
    assert one(tx, SECONDS_BETWEEN, moment, moment) == 0


SECONDS_BETWEEN = "select jobsdb.seconds_between(%s::timestamptz, %s::timestamptz)"
MOMENTS = ["infinity", "-infinity", "2025-06-01 00:00:00+00"]
EDGES = ["4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(MOMENTS, id="infinite"),
        pytest.param(
            [*MOMENTS[2:], *EDGES],
            id="edges",
        ),
    ],
)
def test_no_time_a_tenant_writes_into_a_task_stops_the_refresh_of_others(
    tx: psycopg.Connection, moments: list[str]
) -> None:
    job, victim = new_job(tx, B), new_job(tx, A)
    triples = list(itertools.product(moments, repeat=3))
    ids = [new_task(tx, job) for _ in triples]
    new_task(tx, victim, "done")
    update = "update job_tasks set {} where id = %s"
    with as_tenant(tx, B):
        for task, triple in zip(ids, triples, strict=True):
            columns = "status = 'done', started_at = %s, finished_at = %s, scheduled_for = %s"
            tx.execute(update.format(columns), [*triple, task])
    with tx.transaction():
        tx.execute(REFRESH)
    assert metrics(tx, "job_metrics", victim)["tasks_completed"] == 1
    assert metrics(tx, "job_metrics", job)["tasks_completed"] == len(ids)
    assert tx.execute(WRONG).fetchall() == []
    with as_tenant(tx, B):
        for task, triple in zip(ids, triples[::-1], strict=True):
            columns = "started_at = %s, finished_at = %s, scheduled_for = %s"
            tx.execute(update.format(columns), [*triple, task])
        tx.execute("select cancel_job(%s)", [job])
    tx.execute(REFRESH)
    assert metrics(tx, "job_metrics", job) == metrics(tx, "job_metrics_live", job)
    assert tx.execute(WRONG).fetchall() == []
    apart = one(tx, SECONDS_BETWEEN, moments[-2], moments[-1])
    assert apart is None or apart > 0


def test_no_number_a_tenant_writes_stops_the_refresh_of_others(tx: psycopg.Connection) -> None:
    job, victim = new_job(tx, B), new_job(tx, A)
    tasks = [new_task(tx, job) for _ in range(5)]
    most, least = 2147483647, -2147483648
    with as_tenant(tx, B):
        for retries in (most, least, most):
            tx.execute("update job_tasks set retry_count = %s", [retries])
        for digits in (100_000, -15_000):
            budget = f'{{"budget": {{"max_cost": 1e{digits}}}}}'
            tx.execute("update jobs set params = %s where id = %s", [budget, job])
            with as_service(tx):
                tx.execute(REFRESH)
            found = metrics(tx, "job_metrics", job)
            assert found["budget_left"] == Decimal(f"1e{digits}")
    assert found["retry_total"] == most * len(tasks)
    assert metrics(tx, "job_metrics", victim)["status"] == "running"
    assert tx.execute(WRONG).fetchall() == []
