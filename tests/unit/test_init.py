"""The first process of a container: what it waits for, and what it hands on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.harness.processes import is_gone
from tests.harness.programs import PROGRAM, STUBBORN, WORKER
from tests.harness.waiting import wait_until
from worker.process import init
from worker.settings import Settings

REPOSITORY = Path(__file__).parents[2]
INIT = [sys.executable, "-m", "worker.process.init"]
KILLED = 128 + signal.SIGKILL
DYING_WORKER = WORKER + "run_program(lambda line: die())"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")


def start(directory: Path, *command: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*INIT, *command],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **settings},
        stderr=subprocess.PIPE,
        text=True,
    )


def run(directory: Path, *command: str, **settings: str) -> tuple[int, str]:
    """Return the status and what was said on standard error."""
    with start(directory, *command, **settings) as process:
        _, said = process.communicate(timeout=30)
    return process.returncode, said


def read(path: Path) -> str:
    wait_until(path.exists, f"the file {path.name}")
    return path.read_text()


def test_it_ends_only_after_the_program_of_a_killed_worker_which_hears_one_interrupt(
    tmp_path: Path,
) -> None:
    worker = [sys.executable, "-c", DYING_WORKER]
    status, _ = run(tmp_path, *worker, sys.executable, "-I", "-c", PROGRAM)
    # Not waited for: it is there when the first process ends.
    assert (status, (tmp_path / "report").read_text()) == (KILLED, "1")


def test_it_does_not_wait_forever_for_a_program_that_does_not_end(tmp_path: Path) -> None:
    worker = [sys.executable, "-c", DYING_WORKER, "sh", "-c", STUBBORN]
    status, said = run(tmp_path, *worker, PROVISIONERD_INTERRUPT_GRACE_SECONDS="0.2")
    (tmp_path / "go").touch()
    assert status == KILLED
    assert said.splitlines() == ["init.waiting seconds=0.2", "init.gave_up"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_signal_cuts_the_wait_for_a_program_short_but_sigkill(
    tmp_path: Path, number: signal.Signals
) -> None:
    worker = [sys.executable, "-c", DYING_WORKER, "sh", "-c", STUBBORN]
    with start(tmp_path, *worker) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "init.waiting seconds=300\n"
        process.send_signal(number)
        if number != signal.SIGKILL:
            (tmp_path / "go").touch()
        process.communicate(timeout=30)
        (tmp_path / "go").touch()
    assert process.returncode == (-number if number == signal.SIGKILL else KILLED)


def test_what_a_template_has_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    leave = "setsid sleep 600 > /dev/null 2>&1 & echo $! > left; exit 3"
    status, _ = run(tmp_path, "sh", "-c", leave)
    left = int((tmp_path / "left").read_text())
    is_running = not is_gone(left)
    os.kill(left, signal.SIGKILL)
    assert (status, is_running) == (3, True)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param("exit 0", 0, id="success"),
        pytest.param("exit 75", 75, id="failure"),
        pytest.param("kill -TERM $$", 128 + signal.SIGTERM, id="signal"),
    ],
)
def test_it_ends_with_the_status_of_the_worker(tmp_path: Path, script: str, status: int) -> None:
    assert run(tmp_path, "sh", "-c", script) == (status, "")


COUNTING = """
trap 'n=$((n+1)); echo $n > heard' TERM INT HUP QUIT USR1 USR2
touch ready
until [ -e go ]; do sleep .01; done
exit $n
"""


@pytest.mark.parametrize("number", sorted(init._FORWARDED))
def test_a_signal_is_handed_on_to_the_worker(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path, "sh", "-c", COUNTING) as process:
        wait_until((tmp_path / "ready").exists, "the file ready")
        process.send_signal(number)
        wait_until((tmp_path / "heard").exists, "the file heard")
        (tmp_path / "go").touch()
        process.communicate(timeout=30)
    assert process.returncode == 1


def test_what_the_worker_has_started_gets_no_signal(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; trap 'kill -0 $!; echo $? > alive; kill $!' TERM; wait"
    with start(tmp_path, "sh", "-c", script) as process:
        wait_until(lambda: read(tmp_path / "child") != "", "what child says")
        process.terminate()
        process.communicate(timeout=30)
    assert (tmp_path / "alive").read_text() == "0\n"


def test_ctrl_c_in_a_terminal_reaches_the_worker_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal has sent it to the worker already; a second one would end the drain."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(INIT[0], [*INIT, "sh", "-c", COUNTING])
    wait_until((tmp_path / "ready").exists, "the file ready")
    os.write(terminal, b"\x03")
    wait_until((tmp_path / "heard").exists, "the file heard")
    os.kill(pid, signal.SIGUSR1)  # comes after whatever was handed on
    wait_until(lambda: read(tmp_path / "heard") == "2\n", "the second signal")
    (tmp_path / "go").touch()
    with suppress(OSError):
        while os.read(terminal, 1024):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_an_orphan_that_ends_is_reaped(tmp_path: Path) -> None:
    script = "sh -c 'sleep .1 & echo $! > orphan'; until [ -e go ]; do sleep .01; done"
    with start(tmp_path, "sh", "-c", script) as process:
        wait_until(lambda: read(tmp_path / "orphan") != "", "what orphan says")
        orphan = int(read(tmp_path / "orphan"))
        wait_until(lambda: not psutil.pid_exists(orphan), "the end of the orphan")
        (tmp_path / "go").touch()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_worker_starts_with_no_signal_blocked(tmp_path: Path) -> None:
    code = "import signal; exit(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    assert run(tmp_path, sys.executable, "-c", code) == (0, "")


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    status, said = run(tmp_path, "provisioner-d")
    assert status == init.CANNOT_START
    assert said == "Error: provisioner-d cannot be started: No such file or directory\n"


def test_it_says_which_command_it_wants(tmp_path: Path) -> None:
    status, said = run(tmp_path)
    assert (status, said.count("\n")) == (init.CANNOT_START, 1)


def test_it_waits_by_default_as_long_as_terraform_may_take_to_end() -> None:
    assert Settings.model_fields["interrupt_grace_seconds"].default == init.DEFAULT_GRACE_S
    assert "interrupt_grace_seconds" in init.GRACE_VARIABLE.lower()
