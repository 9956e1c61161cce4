"""A later release: what was released stays, every way to it ends at the same, old workers go on."""

import gzip
import json
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import releases
import world
from commands import catalog, differences
from helpers import BINDIR, as_service, new_database
from jobsdb.deploy import bundle, folder, migrate
from jobsdb.local import Server
from releases import CHECKOUT, KEPT
from test_bundle import in_one_simple_query
from test_folder import LATER, LATEST
from test_migrate import FILES, MIGRATIONS, changed

CHANGELOG = (CHECKOUT / "CHANGELOG.md").read_text()
RELEASES = releases.released(CHANGELOG)
INVENTED = "# Changelog\n\n## Unreleased\n\n- x\n\n## 1.0.0 (2027-01-01)\n\n- y\n\n## 0.9\n"


def test_released_migrations_are_frozen() -> None:
    """Binds as soon as CHANGELOG names 1.0: `python tests/releases.py 1.0.0` keeps a release."""
    assert releases.problems(CHANGELOG, KEPT, FILES) == []


def test_a_base_that_may_still_be_edited_says_so() -> None:
    assert RELEASES or "until 1.0 stands here, the base migrations are edited in place" in CHANGELOG


@pytest.fixture
def kept(tmp_path: Path, server: Server) -> Path:
    """An invented release 1.0.0, which is what the checkout has now."""
    with new_database(server) as url:
        migrate.migrate(url)
        releases.keep("1.0.0", url, tmp_path)
    return tmp_path


class TestFreezing:
    def test_only_1_0_and_later_bind_and_in_their_order(self) -> None:
        text = "## 1.10.0\n## [1.2.0] - 2027\n## v1.0\n## 0.9.1\n## Unreleased\n### 3.0\n"
        assert releases.released(text) == ["1.0", "1.2.0", "1.10.0"]

    def test_what_was_kept_is_found_unchanged(self, kept: Path) -> None:
        assert releases.problems(INVENTED, kept, FILES) == []
        assert releases.problems(INVENTED, kept, LATEST) == []

    def test_an_edited_migration_is_named(self, kept: Path) -> None:
        path = MIGRATIONS[3].path
        files = changed(FILES, path, "-- one more comment\n")
        assert releases.problems(INVENTED, kept, files) == [
            f"{path} was edited after 1.0.0 was released"
        ]

    def test_a_removed_migration_is_named(self, kept: Path) -> None:
        path = MIGRATIONS[3].path
        files = [file for file in FILES if file.path != path]
        assert releases.problems(INVENTED, kept, files) == [
            f"{path} was removed after 1.0.0 was released"
        ]

    def test_a_migration_put_in_between_is_named(self, kept: Path) -> None:
        path = "migrations/20251103000001_b_in_between.sql"
        files = [*FILES, replace(MIGRATIONS[0], path=path)]
        assert releases.problems(INVENTED, kept, files) == [f"{path} is older than the last of"
                                                           " 1.0.0"]  # fmt: skip

    def test_a_release_of_which_nothing_is_kept_is_named(self, tmp_path: Path) -> None:
        assert releases.problems(INVENTED, tmp_path, FILES) == [
            "1.0.0 is released, but nothing is kept of it"
        ]

    def test_a_release_that_changelog_does_not_name_is_named(self, kept: Path) -> None:
        assert releases.problems("## Unreleased\n", kept, FILES) == [
            "1.0.0 is kept, but CHANGELOG does not name it"
        ]

    def test_a_release_is_kept_once(self, kept: Path, url: str) -> None:
        with pytest.raises(FileExistsError):
            releases.keep("1.0.0", url, kept)


def check_upgrades(kept: Path, server: Server, folder_path: Path, files=FILES) -> None:
    """From a kept release to these files, every way: the same as a fresh database."""
    old = releases.files_of(kept)
    for name, text in old.items():
        (folder_path / name).write_text(text)
    folder.write(folder_path, datetime.now(UTC), files)
    with (
        new_database(server) as fresh,
        new_database(server) as migrated,
        new_database(server) as pushed,
        new_database(server) as halfway,
    ):
        migrate.migrate(fresh, files=files)
        for url in (migrated, pushed):
            for text in old.values():
                in_one_simple_query(url, text)
        if BINDIR is None:  # it was kept by the embedded server, whose version prints it otherwise
            was = set(releases.catalog_of(kept))
            assert sorted(set(catalog(pushed)) ^ was) == []
        migrate.migrate(migrated, files=files)
        for path in sorted(folder_path.glob("*.sql")):
            if path.name not in old:
                in_one_simple_query(pushed, path.read_text())
        in_one_simple_query(halfway, next(iter(old.values())))
        migrate.migrate(halfway, files=files)
        assert differences(migrated, fresh) == []
        assert differences(pushed, fresh) == []
        assert differences(halfway, fresh) == []
        was = json.loads((kept / "interface.json").read_text())
        assert releases.incompatible(was, releases.interface(fresh)) == []


class TestWays:
    @pytest.mark.parametrize("release", RELEASES)
    def test_from_every_release_every_way_ends_at_the_same(
        self, release: str, server: Server, tmp_path: Path
    ) -> None:
        check_upgrades(KEPT / release, server, tmp_path)

    @pytest.mark.parametrize("files", [FILES, LATER, LATEST], ids=["same", "later", "latest"])
    def test_from_an_invented_one_as_well(
        self, kept: Path, server: Server, tmp_path_factory: pytest.TempPathFactory, files: list
    ) -> None:
        check_upgrades(kept / "1.0.0", server, tmp_path_factory.mktemp("supabase"), files)

    def test_a_release_that_ends_elsewhere_is_noticed(
        self, kept: Path, server: Server, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """An object of the old release that the new one does not know and does not drop."""
        first = sorted((kept / "1.0.0").glob("*.gz"))[0]
        text = gzip.decompress(first.read_bytes()).decode()
        more = text.replace("create schema jobsdb;", "create schema jobsdb; create table x.y ();")
        more = more.replace("x.y", "jobsdb.left_behind")
        assert more != text
        head, _, rest = more.split("\n", 2)
        more = f"{head}\n{bundle.SUM}{bundle.checksum(rest)}\n{rest}"
        first.write_bytes(gzip.compress(more.encode()))
        with pytest.raises(AssertionError, match="left_behind"):
            check_upgrades(kept / "1.0.0", server, tmp_path_factory.mktemp("supabase"), LATER)


@pytest.fixture(scope="module")
def now(server: Server, template: str) -> releases.Interface:
    with new_database(server, template) as url:
        return releases.interface(url)


class TestOldWorkers:
    def test_one_goes_on_with_what_it_has_prepared_and_leased(self, url: str) -> None:
        """A connection that stays open over the deployment, as a worker's does."""
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as conn:
            job = world.new_job(conn)
            for _ in range(4):
                world.new_task(conn, job, kind="research")
            claim = "select id, lease_token from claim_tasks('old', kinds => '{research}')"
            done = "select complete_tasks(array[%s::bigint], %s)"
            for deploy in (None, LATER, LATEST, None):
                with as_service(conn):
                    ((task, lease),) = conn.execute(claim).fetchall()
                if deploy:
                    migrate.migrate(url, files=deploy)
                with as_service(conn):
                    assert conn.execute(done, [task, lease]).fetchone() == (["ok"],)
            world.check_counters(conn)

    def test_nothing_is_missed_by_itself(self, now: releases.Interface) -> None:
        assert releases.incompatible(now, now) == []
        assert len(now["functions"]) > 30
        assert "jobs.id" in now["columns"]

    def test_more_arguments_with_defaults_and_more_columns_are_allowed(
        self, now: releases.Interface
    ) -> None:
        later = deepcopy(now)
        claim = later["functions"]["claim_tasks"]
        claim["names"].append("more")
        claim["types"].append("text")
        claim["arguments"] += 1
        claim["defaults"] += 1
        later["columns"]["jobs.more"] = "text"
        later["functions"]["more"] = claim
        assert releases.incompatible(now, later) == []

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"names": ["worker_name"]}, "its arguments have other names"),
            ({"types": ["uuid"]}, "its arguments have other types"),
            ({"defaults": 0}, "it wants more arguments"),
            ({"result": "void"}, "it returns something else"),
        ],
    )
    def test_what_an_old_worker_would_miss_is_named(
        self, now: releases.Interface, change: dict, told: str
    ) -> None:
        later = deepcopy(now)
        claim = later["functions"]["claim_tasks"]
        for key, value in change.items():
            claim[key] = [*value, *claim[key][1:]] if isinstance(value, list) else value
        assert releases.incompatible(now, later) == [f"claim_tasks(): {told}"]

    def test_what_is_gone_or_of_another_type_is_named(self, now: releases.Interface) -> None:
        later = deepcopy(now)
        del later["functions"]["cancel_job"]
        del later["columns"]["jobs.name"]
        later["columns"]["jobs.id"] = "text"
        assert releases.incompatible(now, later) == [
            "cancel_job() is gone",
            "jobs.id: it was uuid, now text",
            "jobs.name: it was text, now gone",
        ]
