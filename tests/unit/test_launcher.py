"""A program whose parent is killed ends in order: one SIGINT, and somebody who takes its output."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 30

# Threads that outlive the one that forked: the kernel hands the child on to each of them.
PARENT = """
import os, signal, sys, threading, time
from datetime import timedelta
from pathlib import Path
from provisioner.engine import Interrupt
from provisioner.process import run

for _ in range(30):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def die(line):
    os.kill(os.getpid(), signal.SIGKILL)

run([sys.executable, "-I", "-c", sys.argv[1], sys.argv[2]], cwd=Path("/"), environment={},
    on_stdout=die, on_stderr=lambda line: None, interrupt=Interrupt(),
    timeout=timedelta(seconds=50), grace=timedelta(seconds=10))
"""

# It dies of a broken pipe, as Go programs do, and tells what it lived to see.
PROGRAM = """
import signal, sys, time
heard = []
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("ready", flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    time.sleep(0.01)
print("x" * 1_000_000, flush=True)
with open(sys.argv[1] + ".draft", "w") as report:
    report.write(str(len(heard)))
import os
os.rename(sys.argv[1] + ".draft", sys.argv[1])
"""


def test_a_program_whose_parent_is_killed_hears_one_interrupt_and_can_go_on_writing(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report"

    subprocess.run(
        [sys.executable, "-c", PARENT, PROGRAM, str(report)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=DEADLINE_S,
    )

    end = time.monotonic() + DEADLINE_S
    while not report.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert report.read_text() == "1"
