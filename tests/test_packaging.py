"""What is installed is what is in the checkout: the wheel has the files of sql/, all and only."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import jobsdb
from helpers import BINDIR

pytestmark = pytest.mark.skipif(BINDIR is not None, reason="does not depend on the server")

CHECKOUT = Path(__file__).parent.parent


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a distribution of the tree and return its file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = folder.iterdir()
    return built


def contents(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(CHECKOUT, "wheel", tmp_path_factory.mktemp("wheel"))


def in_the_checkout() -> set[str]:
    """Return the files of the package as git sees them, by their names in the wheel."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/jobsdb", "sql"]
    if (CHECKOUT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(git, cwd=CHECKOUT, check=True, capture_output=True, text=True)
        files = {name for name in listed.stdout.splitlines() if (CHECKOUT / name).exists()}
    else:
        paths = (p for part in ("src/jobsdb", "sql") for p in (CHECKOUT / part).rglob("*.*"))
        files = {p.relative_to(CHECKOUT).as_posix() for p in paths if p.suffix != ".pyc"}
    return {
        name.removeprefix("src/") if name.startswith("src/") else f"jobsdb/{name}" for name in files
    }


def test_the_wheel_has_the_files_of_the_checkout(wheel: Path) -> None:
    assert contents(wheel) == in_the_checkout()


def test_the_wheel_has_only_code_and_texts(wheel: Path) -> None:
    kinds = {Path(name).suffix for name in contents(wheel)}
    assert kinds <= {".py", ".sql", ".txt", ".md", ".css"}


def test_a_wheel_by_way_of_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    archive = build(CHECKOUT, "sdist", tmp_path / "sdist")
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.glob("jobsdb-*")
    assert contents(build(unpacked, "wheel", tmp_path / "wheel")) == contents(wheel)


def test_the_installed_package_finds_its_sql(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from jobsdb import sqlfiles; print(sqlfiles.sql_root()); sqlfiles.load()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(tmp_path / "jobsdb" / "sql")


def test_the_version_has_one_home(wheel: Path) -> None:
    assert f"-{jobsdb.__version__}-" in wheel.name
    assert (
        "version" in tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dynamic"]
    )


def test_the_lock_names_hashes_and_no_place() -> None:
    lock = (CHECKOUT / "requirements.lock").read_text()
    requirements = lock.replace("\\\n", " ").splitlines()
    assert all("==" in line and "--hash=sha256:" in line for line in requirements)
    assert "://" not in lock
    assert not [line for line in requirements if line.startswith("-")]


def test_the_lock_has_everything_that_is_asked_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["local"], *extras["test"]]
    lock = (CHECKOUT / "requirements.lock").read_text()
    locked = {line.partition("==")[0] for line in lock.splitlines()}
    assert {name.replace("[binary]", "").split(">")[0].split("=")[0] for name in asked} <= locked


def test_every_folder_of_the_command_says_what_its_modules_are() -> None:
    top = CHECKOUT / "src" / "jobsdb"
    for folder in {path.parent for path in top.rglob("*.py")} - {top / "commands"}:
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
        map_of = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        rows = [line.split("  ")[0] for line in map_of.splitlines() if "  " in line]
        named = {name.removesuffix("/") for row in rows for name in row.split(", ")}
        inner = {path.parent.name for path in folder.glob("*/__init__.py")}
        assert named == modules | inner
