"""`jobsdb seed`: loads the sample campaigns, generates load, and removes both again."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from jobsdb import connect, errors, render, sqlfiles
from jobsdb.campaigns import overview, own, samples, step
from jobsdb.campaigns.samples import DEMO, GENERATED, ORGANISATIONS, Campaign, sample_id
from jobsdb.deploy import ledger
from jobsdb.errors import Exit

if TYPE_CHECKING:
    from jobsdb.connect import Connection

_EXISTS = "select from public.jobs as j where j.id = %s"
_ADD = "select jobsdb.add_org_member(%s, %s)"
_DROP = "select jobsdb.remove_org_member(%s, %s)"
_REFRESH = "select public.refresh_job_metrics()"
_IS_HOSTS = "select from jobsdb.host_tables as h where h.table_name = %s and not h.made_by_jobsdb"
_HOST_REFUSES = ("22", "23", "42", "P0")
"""Classes of SQLSTATE of constraints, types and triggers: what a host's own table may say."""


def run(
    database: str | None,
    names: Sequence[str] = (),
    *,
    org: str | None = None,
    as_user: str | None = None,
    scale: int | None = None,
    list_: bool = False,
    remove: bool = False,
    later: str | None = None,
    contacts: Path | None = None,
    params: Path | None = None,
    yes: bool = False,
) -> int:
    """Load the sample campaigns named, or all; or list or remove them, or let time pass for them;
    or load a campaign of one's own. Returns an exit code.

    `org` is the organisation to load them into, `as_user` becomes a member of theirs, `scale` is
    how many generated tasks there shall be, `later` an interval, `contacts` a CSV file and
    `params` a JSON file. Each job is loaded, moved or removed as a whole or not at all.
    Errors: JobsdbError.
    """
    import psycopg

    _check_combination(
        {
            "--remove": remove,
            "--scale": scale is not None,
            "--step": later is not None,
            "--from": contacts is not None or params is not None,
        }
    )
    if contacts is not None or params is not None:
        return _load_own(database, names, contacts, params, org, as_user, yes)
    chosen = _choose(names, remove=remove)
    if list_:
        rows = [(c.name, c.organisation, c.sentence) for c in chosen]
        render.table(("campaign", "org", "what it is"), rows)
        return Exit.DONE
    verb = "Remove samples from" if remove else "Load samples into"
    with connect.open_database(database, "own") as conn:
        try:
            ensure_installed(conn)
            if later is not None:
                return _step(conn, [campaign.name for campaign in chosen], org, later)
            if not _may_change(conn, verb, yes):
                return Exit.NO
            if remove:
                _remove(conn, names, org, as_user)
            else:
                loaded = load(conn, chosen, org, as_user)
                added = _generate(conn, scale, org) if scale else 0
                if loaded or added:
                    conn.execute(_REFRESH)
                overview.show(conn, org)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    return Exit.DONE


def _check_combination(given: dict[str, bool]) -> None:
    """Errors: UsageError when more than one of these options is given."""
    if len(several := [option for option, is_given in given.items() if is_given]) > 1:
        raise errors.UsageError(
            f"{' and '.join(several)} contradict each other",
            hint=f"To remove the generated tasks: jobsdb seed --remove {GENERATED}"
            if several == ["--remove", "--scale"]
            else "Give one of them at a time.",
        )


def _load_own(
    database: str | None,
    names: Sequence[str],
    contacts: Path | None,
    params: Path | None,
    org: str | None,
    as_user: str | None,
    yes: bool,
) -> int:
    """Load contacts and a campaign of the developer's own. Errors: JobsdbError."""
    import psycopg

    if names:
        raise errors.UsageError(
            f'"{names[0]}" is a sample, --from and --params are your own',
            hint="Load them with two commands.",
        )
    people = None if contacts is None else own.read_contacts(contacts)
    payload = None if params is None else own.read_payload(params)
    with connect.open_database(database, "own") as conn:
        try:
            ensure_installed(conn)
            if not _may_change(conn, "Load yours into", yes):
                return Exit.NO
            own.load(conn, people, payload, org, as_user)
            conn.execute(_REFRESH)
        except psycopg.Error as exc:
            raise errors.from_postgres(exc) from exc
    return Exit.DONE


def _step(conn: Connection, names: Sequence[str], org: str | None, later: str) -> int:
    """Let time pass for the samples of these names and this organisation. Errors: JobsdbError."""
    step.check(conn, later)
    found = [s for s in samples.find(conn) if s.seed in names and org in (None, s.org)]
    if not found:
        render.say("There are no samples whose clock could be moved; load them: jobsdb seed")
        return Exit.NO
    for sample, tasks in step.step(conn, found, later):
        if tasks:
            render.say(f"  + {sample.seed}: the next batch is planned, {tasks} tasks")
    conn.execute(_REFRESH)
    overview.table(conn, org)
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
    if render.confirm(question, yes=yes):
        return True
    render.say("Nothing was changed.")
    return False


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
        try:
            with samples.transaction(conn, job=job, org=owner):
                if as_user:
                    conn.execute(_ADD, (as_user, owner))
                if conn.execute(_EXISTS, (job,)).fetchone() is None:
                    _tell(conn, campaign, owner)
                    loaded += 1
        except errors.JobsdbError as exc:
            if not (exc.sqlstate or "").startswith(_HOST_REFUSES) or not _is_hosts(conn):
                raise
            render.warn(
                f"{campaign.name} was left out, the host's kanban_cards does not take its cards:"
                f" {exc.sentence}"
            )
    return loaded


def _is_hosts(conn: Connection) -> bool:
    """Whether the table of cards is the host's own."""
    return conn.execute(_IS_HOSTS, ("kanban_cards",)).fetchone() is not None


def _tell(conn: Connection, campaign: Campaign, owner: str) -> None:
    """Let a campaign happen, moment by moment; what there is grows older in between."""
    time_passes = samples.read("lib/time_passes.sql")
    for moment in campaign.moments:
        claims = f'{{"sub": "{owner}", "role": "authenticated"}}' if moment.is_person else ""
        samples.set_local(conn, "request.jwt.claims", claims)
        samples.set_local(conn, "seed.gap", moment.gap)
        samples.send(conn, time_passes)
        for file in (moment.file, *moment.does):
            samples.send(conn, file)
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
