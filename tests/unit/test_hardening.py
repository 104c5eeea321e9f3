"""What the kernel says of a process that hides its environment and memory (prctl(2))."""

from __future__ import annotations

import subprocess
import sys

import pytest

PR_GET_DUMPABLE = 3
ASK = f"import ctypes; print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0))"
HIDE = "from worker.process.hardening import make_undumpable; make_undumpable()"


def answer(program: str) -> str:
    """Run a program in a process of its own: it cannot be taken back."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize(
    ("program", "is_dumpable"),
    [
        pytest.param(ASK, "1", id="as it starts"),
        pytest.param(f"{HIDE}\n{ASK}", "0", id="once hidden"),
    ],
)
def test_processes_of_the_same_user_may_look_into_one(program: str, is_dumpable: str) -> None:
    assert answer(program) == is_dumpable
