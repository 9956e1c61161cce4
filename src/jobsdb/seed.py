"""`jobsdb seed`: loads the sample campaigns, generates load, and removes both again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import count, groupby
from typing import TYPE_CHECKING

from jobsdb import connect, errors, ledger, render, samples, sqlfiles
from jobsdb.errors import Exit
from jobsdb.samples import DEMO, GENERATED, ORGANISATIONS, Campaign, Sample, sample_id

if TYPE_CHECKING:
    from jobsdb.connect import Connection

_EXISTS = "select from public.jobs as j where j.id = %s"
_ADD = "select jobsdb.add_org_member(%s, %s)"
_DROP = "select jobsdb.remove_org_member(%s, %s)"
_REFRESH = "select public.refresh_job_metrics()"


def run(
    database: str | None,
    names: Sequence[str] = (),
    *,
    org: str | None = None,
    as_user: str | None = None,
    scale: int | None = None,
    list_: bool = False,
    remove: bool = False,
    yes: bool = False,
) -> int:
    """Load the sample campaigns named, or all; or list or remove them. Returns an exit code.

    `org` is the organisation to load them into, `as_user` becomes a member of theirs, `scale` is
    how many generated tasks there shall be. Each job is loaded or removed as a whole or not at all.
    Errors: JobsdbError.
    """
    import psycopg

    chosen = _choose(names, remove=remove)
    if remove and scale is not None:
        raise errors.UsageError(
            "--remove and --scale contradict each other",
            hint=f"To remove the generated tasks: jobsdb seed --remove {GENERATED}",
        )
    if list_:
        rows = [(c.name, c.organisation, c.sentence) for c in chosen]
        render.table(("campaign", "org", "what it is"), rows)
        return Exit.DONE
    with connect.open_database(database, "own") as conn:
        try:
            ensure_installed(conn)
            if not _may_change(conn, "Remove samples from" if remove else "Load samples into", yes):
                render.say("Nothing was changed.")
                return Exit.NO
            if remove:
                _remove(conn, names, org, as_user)
            else:
                loaded = load(conn, chosen, org, as_user)
                added = _generate(conn, scale, org) if scale else 0
                if loaded or added:
                    conn.execute(_REFRESH)
                _show(conn, org)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    return Exit.DONE


def _choose(names: Sequence[str], *, remove: bool) -> list[Campaign]:
    """The campaigns of these names, all without a name. Errors: UsageError."""
    known = samples.campaigns()
    allowed = [campaign.name for campaign in known] + ([GENERATED, DEMO] if remove else [])
    for name in names:
        if name not in allowed:
            raise errors.UsageError(
                f'there is no sample campaign "{name}"', hint=f"There are: {', '.join(allowed)}."
            )
    return [campaign for campaign in known if not names or campaign.name in names]


def ensure_installed(conn: Connection) -> None:
    """Errors: Refused when the database lacks migrations of this release."""
    plan = ledger.read(conn, sqlfiles.load())
    if plan.pending:
        what = "lacks migrations of this release" if plan.entries else "has no jobsdb yet"
        raise errors.Refused(f"the database {what}", hint="Run `jobsdb migrate` first.")


def _may_change(conn: Connection, verb: str, yes: bool) -> bool:
    """Whether samples may come or go here; asks when it looks like a database people work with.

    Errors: Refused when there is nobody to ask.
    """
    reasons = [] if _is_near(conn) else ["is on another machine"]
    if number := samples.others(conn):
        reasons.append(f"holds {number:,} other {'job' if number == 1 else 'jobs'}")
    if not reasons:
        return True
    question = f"{connect.where(conn)} {' and '.join(reasons)}. {verb} it?"
    return render.confirm(question, yes=yes)


def _is_near(conn: Connection) -> bool:
    """Whether the server is on this machine, as far as the connection tells."""
    address = conn.info.hostaddr.partition("%")[0]
    return not address or ip_address(address).is_loopback  # without an address: a unix socket


def load(
    conn: Connection,
    chosen: Sequence[Campaign],
    org: str | None = None,
    as_user: str | None = None,
) -> int:
    """Load the campaigns that are not there yet; returns how many that were."""
    loaded = 0
    for campaign in chosen:
        owner = org or ORGANISATIONS[campaign.organisation]
        job = sample_id(owner, campaign.name)
        with samples.transaction(conn, job=job, org=owner):
            if as_user:
                conn.execute(_ADD, (as_user, owner))
            if conn.execute(_EXISTS, (job,)).fetchone() is None:
                _tell(conn, campaign, owner)
                loaded += 1
    return loaded


def _tell(conn: Connection, campaign: Campaign, owner: str) -> None:
    """Let a campaign happen, moment by moment; what there is grows older in between."""
    time_passes = samples.read("lib/time_passes.sql")
    for moment in campaign.moments:
        claims = f'{{"sub": "{owner}", "role": "authenticated"}}' if moment.is_person else ""
        samples.set_local(conn, "request.jwt.claims", claims)
        samples.set_local(conn, "seed.gap", moment.gap)
        samples.send(conn, time_passes)
        samples.send(conn, moment.file)
    samples.send(conn, samples.read("lib/agent_runs.sql"))


def _generate(conn: Connection, tasks: int, org: str | None) -> int:
    """Generate tasks until there are so many; returns how many were added."""
    owner = org or ORGANISATIONS["A"]
    there = sum(s.tasks for s in samples.find(conn) if s.seed == GENERATED and s.org == owner)
    missing = tasks - there
    if missing <= 0:
        return 0
    text = samples.read("lib/generate.sql").text.encode()
    with render.progress("generating", missing, "tasks") as advance:
        for part in count(1):
            job = sample_id(owner, GENERATED, part)
            with samples.transaction(conn, job=job, org=owner, part=part, missing=missing):
                cursor = conn.execute(text)
                while cursor.nextset():
                    pass
            advance(cursor.rowcount)
            missing -= cursor.rowcount
            if not missing:
                break
    return tasks - there


def _remove(conn: Connection, names: Sequence[str], org: str | None, as_user: str | None) -> None:
    """Remove the samples of these names and this organisation, each in a transaction."""
    found = [
        sample
        for sample in samples.find(conn)
        if (not names or sample.seed in names) and org in (None, sample.org)
    ]
    file = samples.read("lib/remove.sql")
    orgs = f"{{{','.join(ORGANISATIONS.values())}}}"
    with render.progress("removing", len(found), "jobs") as advance:
        for sample in found:
            with samples.transaction(conn, job=sample.id, orgs=orgs):
                samples.send(conn, file)
            advance(1)
    if as_user and org:
        conn.execute(_DROP, (as_user, org))
    if found:
        conn.execute(_REFRESH)
    render.out(f"{len(found)} sample {'job' if len(found) == 1 else 'jobs'} removed.")


def _show(conn: Connection, org: str | None) -> None:
    """What is loaded, and what to try next."""
    letters = {id_: letter for letter, id_ in ORGANISATIONS.items()}
    mine = [s for s in samples.find(conn) if _is_shown(s, org)]
    mine.sort(key=lambda sample: (sample.seed in (GENERATED, DEMO), sample.seed))
    rows = [
        _row(name, "own" if name == DEMO else letters.get(org or jobs[0].org, "yours"), jobs)
        for name, group in groupby(mine, key=lambda sample: sample.seed)
        if (jobs := list(group))
    ]
    heads = ("campaign", "org", "status", "tasks", "errors", "review", "approved", "done")
    render.table(heads, rows, right=heads[3:])
    render.out()
    known = {sample.seed: sample.id for sample in mine}
    for letter, id_ in ORGANISATIONS.items():
        known[letter] = org or id_
        if org is None:
            render.out(f"  organisation {letter}  {id_}")
    render.out("\nTo try next, in psql or any SQL editor:\n")
    render.out(next_queries(known))


def _is_shown(sample: Sample, org: str | None) -> bool:
    """Whether it is of this organisation; without one, of the samples' own."""
    if org is not None:
        return sample.org == org
    return sample.seed == DEMO or sample.org in ORGANISATIONS.values()


def _row(name: str, where: str, jobs: Sequence[Sample]) -> tuple[object, ...]:
    """A line of the table: one job, or all those generated or played."""
    return (
        name if len(jobs) == 1 else f"{name} ({len(jobs)} jobs)",
        where,
        ", ".join(sorted({s.status for s in jobs})),
        f"{sum(s.tasks_done for s in jobs)}/{sum(s.tasks for s in jobs)}",
        sum(s.tasks_error for s in jobs),
        sum(s.in_review for s in jobs),
        sum(s.approved for s in jobs),
        sum(s.done for s in jobs),
    )


def next_queries(known: dict[str, str]) -> str:
    """What to try next, as SQL to paste; what needs a campaign that is not loaded is left out."""
    text = samples.read("lib/next.sql").text.strip()
    for name, id_ in known.items():
        text = text.replace(f"{{{name}}}", id_)
    return "\n\n".join(block for block in text.split("\n\n") if not re.search(r"\{[\w-]+\}", block))
