"""The command `jobsdb` as a shell would run it, and what a database looks like from outside."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg

import jobsdb
from world import A

SOURCE = Path(jobsdb.__file__).parent.parent
TOO_LONG = 30
"""Seconds after which a command that does not do what a test waits for has failed."""
_OURS = ("PG", "JOBSDB_", "DATABASE_URL", "NO_COLOR", "FORCE_COLOR", "TERM")


def environment(**more: str) -> dict[str, str]:
    """Return the environment without anything that names a database or asks for colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "PYTHONPATH": str(SOURCE), **more}


def start(*arguments: str, **options) -> subprocess.Popen[str]:
    """Start `jobsdb` and return the process; its output is piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobsdb", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"env": environment(), **options},
    )


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `jobsdb` to its end, with further environment variables, and return what it said."""
    process = start(*arguments, env=environment(**variables))
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def tenant_url(url: str, org: UUID = A) -> str:
    """Return the URL of a connection that is a tenant from its first statement on."""
    claims = json.dumps({"sub": str(org), "role": "authenticated"}, separators=(",", ":"))
    options = f"-c role=authenticated -c request.jwt.claims={claims}"
    return f"{url}&options={quote(options)}"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true, and return it."""
    end = time.monotonic() + TOO_LONG
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


def database(url: str) -> str:
    """Return the name of the database in a URL."""
    return url.partition("?")[0].rpartition("/")[2]


def writes(url: str, act: Callable[[], object]) -> bool:
    """Whether an action takes a transaction id, as everything does that writes.

    Autovacuum takes some of its own now and then, so the action is repeated: what really writes
    does so every time.
    """
    ask = "select pg_current_xact_id()::text::bigint"
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(5):
            (before,) = conn.execute(ask).fetchone()
            act()
            if conn.execute(ask).fetchone() == (before + 1,):
                return False
    return True


_CATALOG = """
with ours as (
  select n.oid, n.nspname from pg_namespace as n where n.nspname in ('public', 'jobsdb', 'auth')
),
rels as (
  select c.*, format('%I.%I', o.nspname, c.relname) as name
  from pg_class as c
  inner join ours as o on o.oid = c.relnamespace
),
acls (name, acl) as (
  select 'relation ' || name, relacl from rels
  union all
  select format('column %s.%I', r.name, a.attname), a.attacl
  from pg_attribute as a
  inner join rels as r on r.oid = a.attrelid
  union all
  select 'function ' || p.oid::regprocedure, p.proacl
  from pg_proc as p
  inner join ours as o on o.oid = p.pronamespace
  union all
  select 'schema ' || n.nspname, n.nspacl
  from pg_namespace as n
  inner join ours as o on o.oid = n.oid
)
select concat_ws(' | ', 'relation', name, relkind, relrowsecurity, relforcerowsecurity, reloptions,
  relispopulated, case when relkind in ('v', 'm') then pg_get_viewdef(oid) end)
from rels
union all
select concat_ws(' | ', 'column', r.name, a.attname, format_type(a.atttypid, a.atttypmod),
  a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
from pg_attribute as a
inner join rels as r on r.oid = a.attrelid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped
union all
select concat_ws(' | ', 'constraint', c.conrelid::regclass, c.contypid::regtype, c.conname,
  pg_get_constraintdef(c.oid), c.convalidated)
from pg_constraint as c
inner join ours as o on o.oid = c.connamespace
union all
select concat_ws(' | ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid)
from pg_index as i
inner join rels as r on r.oid = i.indexrelid
union all
select concat_ws(' | ', 'function', pg_get_functiondef(p.oid))
from pg_proc as p
inner join ours as o on o.oid = p.pronamespace
union all
select concat_ws(' | ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
from pg_trigger as t
inner join rels as r on r.oid = t.tgrelid
where not t.tgisinternal
union all
select concat_ws(' | ', 'policy', to_jsonb(p)) from pg_policies as p
union all
select concat_ws(' | ', 'comment', i.type, i.identity, d.description)
from pg_description as d, pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
where i.schema in (select nspname from ours) or i.type = 'schema'
union all
select concat_ws(' | ', 'acl', a.name, array(select x::text from unnest(a.acl) as x order by 1))
from acls as a
where a.acl is not null
order by 1
"""


def catalog(url: str) -> list[str]:
    """Return every object of the schemas public, jobsdb and auth as a line, sorted."""
    with psycopg.connect(url) as conn:
        conn.execute("set local search_path = pg_catalog")
        return [line for (line,) in conn.execute(_CATALOG)]


def differences(one: str, other: str) -> list[str]:
    """Return what only one of two databases has."""
    first, second = set(catalog(one)), set(catalog(other))
    return sorted(
        [f"- {line}" for line in first - second] + [f"+ {line}" for line in second - first]
    )
