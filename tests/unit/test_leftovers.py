"""A process that outlives its tests is noticed, named and killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness import leftovers
from tests.harness.leftovers import LeftRunningError, no_process_left
from tests.harness.processes import wait_until_gone

DETACHED = "setsid sleep 600 >/dev/null 2>&1 & echo $!"


def start_detached(directory: Path, environment: Mapping[str, str] | None = None) -> int:
    """Return the id of a process of another session, whose parent has ended."""
    said = subprocess.run(
        ["sh", "-c", DETACHED], cwd=directory, env=environment, check=True, capture_output=True
    )
    return int(said.stdout)


@pytest.mark.parametrize(
    ("directory", "environment"),
    [
        pytest.param("/", None, id="known by its environment"),
        pytest.param("build", {"PATH": os.environ["PATH"]}, id="known by its working directory"),
    ],
)
def test_a_process_left_behind_is_an_error_and_is_killed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    directory: str,
    environment: Mapping[str, str] | None,
) -> None:
    monkeypatch.setattr(leftovers, "ENDING_S", 0.2)
    (tmp_path / "build").mkdir()
    pids: list[int] = []

    with pytest.raises(LeftRunningError, match="sleep 600"), no_process_left(tmp_path):
        pids.append(start_detached(tmp_path / directory, environment))

    wait_until_gone(pids[0])


def test_a_process_that_has_ended_is_no_error(tmp_path: Path) -> None:
    with no_process_left(tmp_path):
        subprocess.run(["true"], check=True)
