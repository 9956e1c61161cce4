"""What is kept of each release, in tests/upgrade/RELEASE/, and what a later one must not break.

    python tests/releases.py RELEASE [URL]     writes the folder, once, when it is released

A folder has the files `jobsdb bundle` wrote then (so the release can be installed again), its
catalog, and the public functions and columns that workers and front ends of that time call. Until
CHANGELOG names 1.0 nothing is kept and nothing binds.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from commands import catalog
from jobsdb.deploy import bundle, folder
from jobsdb.sqlfiles import SqlFile, load, migrations

CHECKOUT = Path(__file__).parent.parent
KEPT = CHECKOUT / "tests" / "upgrade"
FUNCTIONS = """
select p.proname, coalesce(p.proargnames, '{}'), coalesce(p.proargmodes::text[], '{}'),
  array(
    select format_type(t.type_oid, null)
    from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality t (type_oid, n)
    order by t.n
  ),
  p.pronargs, p.pronargdefaults, pg_get_function_result(p.oid)
from pg_proc p
where p.pronamespace = 'public'::regnamespace
order by 1
"""
COLUMNS = """
select format('%s.%s', c.relname, a.attname), format_type(a.atttypid, null)
from pg_attribute a
join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  and a.attnum > 0 and not a.attisdropped
order by 1
"""
Interface = dict[str, dict[str, Any]]


def released(changelog: str) -> list[str]:
    """The releases that bind, as CHANGELOG names them: 1.0 and later, oldest first."""
    found = re.findall(r"^## \[?v?(\d+(?:\.\d+)+)\b", changelog, re.MULTILINE)
    binding = [name for name in found if order(name) >= (1,)]
    return sorted(binding, key=order)


def order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def interface(url: str) -> Interface:
    """What others call by name in a database."""
    with psycopg.connect(url) as conn:
        conn.execute("set local search_path = pg_catalog")
        functions = {
            name: {"names": names, "modes": modes, "types": types, "arguments": count,
                   "defaults": defaults, "result": result}
            for name, names, modes, types, count, defaults, result in conn.execute(FUNCTIONS)
        }  # fmt: skip
        return {"functions": functions, "columns": dict(conn.execute(COLUMNS).fetchall())}


def keep(release: str, url: str, to: Path = KEPT, files: Sequence[SqlFile] | None = None) -> Path:
    """Write what is kept of a release, which is installed in a database with nothing else."""
    kept = to / release
    kept.mkdir(parents=True)
    for name, text in bundle.build(files).items():
        (kept / f"{name}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (kept / "catalog.txt").write_text("".join(f"{json.dumps(line)}\n" for line in catalog(url)))
    (kept / "interface.json").write_text(json.dumps(interface(url), indent=1, sort_keys=True))
    return kept


def files_of(kept: Path) -> dict[str, str]:
    """The files that install a release."""
    return {
        path.name.removesuffix(".gz"): gzip.decompress(path.read_bytes()).decode()
        for path in sorted(kept.glob("*.sql.gz"))
    }


def catalog_of(kept: Path) -> list[str]:
    return [json.loads(line) for line in (kept / "catalog.txt").read_text().splitlines()]


def problems(changelog: str, kept: Path, files: Sequence[SqlFile]) -> list[str]:
    """What contradicts the promise that released migrations are frozen; no server is needed."""
    found: list[str] = []
    now = {file.path: file.sha256 for file in migrations(files)}
    names = {path.name for path in kept.iterdir() if path.is_dir()} if kept.exists() else set()
    binding = released(changelog)
    found += [f"{name} is released, but nothing is kept of it" for name in binding
              if name not in names]  # fmt: skip
    found += [f"{name} is kept, but CHANGELOG does not name it" for name in sorted(names)
              if name not in binding]  # fmt: skip
    for name in sorted(names & set(binding), key=order):
        then = folder.contents("".join(files_of(kept / name).values()))
        for path, sha256 in then.items():
            if path.startswith("migrations/") and now.get(path) != sha256:
                what = "edited" if path in now else "removed"
                found.append(f"{path} was {what} after {name} was released")
        last = max((path for path in then if path.startswith("migrations/")), default="")
        found += [f"{path} is older than the last of {name}" for path in now
                  if path < last and path not in then]  # fmt: skip
    return found


def incompatible(old: Interface, new: Interface) -> list[str]:
    """What a worker or front end of an older release would miss."""
    found: list[str] = []
    for name, then in old["functions"].items():
        now = new["functions"].get(name)
        if now is None:
            found.append(f"{name}() is gone")
            continue
        count = then["arguments"]
        if now["names"][:count] != then["names"][:count]:
            found.append(f"{name}(): its arguments have other names")
        elif now["types"][:count] != then["types"][:count]:
            found.append(f"{name}(): its arguments have other types")
        elif now["arguments"] - now["defaults"] > count - then["defaults"]:
            found.append(f"{name}(): it wants more arguments")
        if not now["result"].rstrip(")").startswith(then["result"].rstrip(")")):
            found.append(f"{name}(): it returns something else")
    for name, kind in old["columns"].items():
        if new["columns"].get(name) != kind:
            found.append(f"{name}: it was {kind}, now {new['columns'].get(name, 'gone')}")
    return found


if __name__ == "__main__":
    from helpers import new_database
    from jobsdb import local
    from jobsdb.deploy.migrate import migrate

    with new_database(local.start()) as address:
        migrate(address)
        print(keep(sys.argv[1], address, files=load()))
