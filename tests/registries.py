"""Programs of others that a test needs: fetched from their registry once a test run, or skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _fetched(folder: Path, *command: str | Path) -> Path:
    """Run an installer unless the folder has it already; skips the test when it fails."""
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            if os.environ.get("JOBSDB_TEST_FETCH") == "must":
                raise
            pytest.skip(f"{command[-1]} cannot be had here: {told[-1] if told else error}")
        done.touch()
    return folder


def npm(folder: Path, package: str, program: str) -> Path:
    """A program of an npm package such as `supabase@3.1.0`."""
    _fetched(
        folder,
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        folder,
        package,
    )
    return folder / "node_modules" / ".bin" / program


def pip(folder: Path, package: str) -> Path:
    """The folder into which a package of PyPI such as `postgrest==2.34.1` was installed."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    return _fetched(folder, *pip, "--only-binary", ":all:", "--target", folder, package)
