"""Shells complete the words of `jobsdb`, by the script it prints for each of them."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment, run
from jobsdb.cli import cli

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `jobsdb` is the command."""
    program = tmp_path / "jobsdb"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jobsdb "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}:{os.environ['PATH']}"


def completed(shell: str, path: str, words: str) -> list[str]:
    """What a shell offers for the last of these words."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = run(_JOBSDB_COMPLETE=f"{shell}_source").stdout
    place = len(words.split(" ")) - 1
    asks = {
        "bash": (
            f"COMP_WORDS=({words} ''); COMP_CWORD={place};"
            "_jobsdb_completion jobsdb; printf '%s\\n' \"${COMPREPLY[@]}\""
        ),
        # Outside of its line editor zsh has none of what completion functions call.
        "zsh": (
            "compadd() { print -l -- ${completions}; };"
            "_describe() { print -l -- ${completions_with_descriptions}; };"
            f"words=({words}); CURRENT={place + 1}; _jobsdb_completion"
        ),
        "fish": f"complete --do-complete '{words}'",
    }
    before = "compdef() { :; }\n" if shell == "zsh" else ""
    done = subprocess.run(
        [shell, "-c", f"{before}{script}\n{asks[shell]}"],
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = (line for line in done.stdout.splitlines() if line)
    return [line.split("\t")[0].split(":")[0] for line in lines]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_are_completed(shell: str, path: str) -> None:
    assert completed(shell, path, "jobsdb ve") == ["verify"]
    assert set(completed(shell, path, "jobsdb ")) >= set(cli.commands)


@pytest.mark.parametrize("shell", SHELLS)
def test_options_and_their_values_are_completed(shell: str, path: str) -> None:
    assert "--patience" in completed(shell, path, "jobsdb doctor --pat")
    layers = completed(shell, path, "jobsdb verify --layer s")
    assert sorted(layers) == ["security", "structure"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_its_script(shell: str) -> None:
    done = run(_JOBSDB_COMPLETE=f"{shell}_source")
    assert done.returncode == 0
    assert "_jobsdb_completion" in done.stdout
