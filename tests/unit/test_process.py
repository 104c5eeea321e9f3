"""How one child process is run, watched and ended."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from provisioner.host import process
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.lines import PIECE
from tests.harness.processes import wait_until_gone

ENVIRONMENT = {"PATH": os.environ["PATH"]}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


class Child:
    """Runs one command and keeps what it said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = ENVIRONMENT
        self.out: list[str] = []
        self.err: list[str] = []
        self.interrupt = Interrupt()
        self.on_line: Callable[[str], None] = lambda _line: None

    def run(self, *command: str, timeout_s: float = 60, grace_s: float = 60) -> process.Exit:
        return process.run(
            command,
            cwd=self.directory,
            environment=self.environment,
            on_stdout=self._take,
            on_stderr=self.err.append,
            interrupt=self.interrupt,
            timeout=timedelta(seconds=timeout_s),
            grace=timedelta(seconds=grace_s),
        )

    def sh(self, script: str, **limits: float) -> process.Exit:
        return self.run("sh", "-c", script, **limits)

    def cancel_on(self, word: str) -> None:
        def cancel(line: str) -> None:
            if word in line:
                self.interrupt.request(InterruptReason.CANCEL)

        self.on_line = cancel

    def _take(self, line: str) -> None:
        self.out.append(line)
        self.on_line(line)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


def test_output_comes_line_by_line_from_both_pipes(child: Child) -> None:
    ended = child.sh("echo one; echo two; echo oops >&2; exit 3")
    assert (child.out, child.err, ended.returncode) == (["one\n", "two\n"], ["oops\n"], 3)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        pytest.param(r"a\r\nb\r\n", ["a\n", "b\n"], id="carriage returns are dropped"),
        pytest.param(r"a\nb", ["a\n", "b\n"], id="the last line needs no line end"),
        pytest.param(r"a\377b\n", ["a\ufffdb\n"], id="invalid UTF-8 is replaced"),
        pytest.param(r"a\303", ["a\ufffd\n"], id="a character that never ends is replaced"),
        pytest.param(r"\n\n", ["\n", "\n"], id="blank lines are kept"),
        pytest.param("", [], id="no output is no line"),
    ],
)
def test_lines_are_cut_and_decoded(child: Child, printed: str, expected: list[str]) -> None:
    child.run("printf", printed)
    assert child.out == expected


def test_a_character_split_between_two_reads_is_whole(child: Child) -> None:
    child.run(sys.executable, "-X", "utf8", "-c", "print('x' + 'é' * 200_000)")
    assert "".join(child.out) == "x" + "é" * 200_000 + "\n"


def test_a_long_line_comes_in_pieces_and_only_the_last_one_ends_it(child: Child) -> None:
    length = 3 * PIECE + 5
    child.sh(f"head -c {length} /dev/zero | tr '\\0' x; echo; echo next")
    *pieces, last, following = child.out
    assert "".join([*pieces, last]) == "x" * length + "\n"
    assert not any(piece.endswith("\n") for piece in pieces)
    assert max(map(len, pieces)) <= PIECE
    assert following == "next\n"


def test_a_line_of_100_megabytes_does_not_fill_the_memory(child: Child) -> None:
    got = 0

    def count(piece: str) -> None:
        nonlocal got
        got += len(piece)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process.run(
        ["head", "-c", "100000000", "/dev/zero"],
        cwd=child.directory,
        environment=ENVIRONMENT,
        on_stdout=count,
        on_stderr=count,
        interrupt=Interrupt(),
        timeout=timedelta(seconds=60),
        grace=timedelta(0),
    )
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (got, grown_kib < 20_000) == (100_000_001, True)


def test_the_child_sees_only_the_environment_that_it_is_given(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISIONERD_DATABASE_URL", "secret")
    child.run("env")
    assert not [line for line in child.out if "PROVISIONERD" in line]


def test_a_large_environment_arrives_whole(child: Child) -> None:
    child.environment = {f"LARGE_{index}": "x" * 100_000 for index in range(6)}
    child.run("/usr/bin/env")
    expected = {f"{name}={value}" for name, value in child.environment.items()}
    assert set("".join(child.out).split()) == expected


def test_bytes_that_are_no_text_arrive_as_they_are(child: Child) -> None:
    child.environment |= {"ODD": os.fsdecode(b"\xff")}
    child.sh('printf %s "$ODD" | od -An -tx1')
    assert child.out == [" ff\n"]


def test_a_program_is_looked_for_in_the_path_of_its_own_environment(child: Child) -> None:
    tool = child.directory / "tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    child.environment = {"PATH": f"/nowhere:{child.directory}"}
    child.run("tool")
    assert child.out == ["found\n"]


def test_a_program_works_in_the_directory_that_it_is_given(child: Child) -> None:
    child.run("pwd")
    assert child.out == [f"{child.directory.resolve()}\n"]


def refused(child: Child, *command: str) -> type[OSError]:
    with pytest.raises(OSError) as refusal:  # noqa: PT011 -- its type is what is tested
        child.run(*command)
    assert refusal.value.strerror
    return refusal.type


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(["/nowhere/terraform"], FileNotFoundError, id="a binary that is missing"),
        pytest.param(["nowhere"], FileNotFoundError, id="a name that is not in the path"),
        pytest.param(["/dev/null"], PermissionError, id="a file that is no program"),
        pytest.param(["true", "\0"], OSError, id="a NUL in an argument"),
        pytest.param(["true", "x" * 1_000_000], OSError, id="a word that is too long"),
    ],
)
def test_a_command_that_can_not_be_started_is_an_os_error(
    child: Child, command: list[str], expected: type[OSError]
) -> None:
    assert refused(child, *command) is expected


def test_a_directory_that_is_missing_is_an_os_error(child: Child) -> None:
    child.directory /= "missing"
    assert refused(child, "true") is FileNotFoundError


def test_programs_of_many_threads_run_at_the_same_time(child: Child) -> None:
    """Each of them waits for all others."""
    script = "touch $0; until [ $(ls | wc -l) = 12 ]; do sleep 0.01; done"
    with ThreadPoolExecutor(12) as pool:
        ended = list(pool.map(lambda index: child.run("sh", "-c", script, str(index)), range(12)))
    assert {exit_.returncode for exit_ in ended} == {0}


def test_a_default_timeout_of_sockets_does_not_matter(child: Child) -> None:
    socket.setdefaulttimeout(1e-6)  # Celery sets one for as long as it drains
    try:
        exits = [child.sh("sleep 0.01") for _ in range(10)]
    finally:
        socket.setdefaulttimeout(None)
    assert [found.returncode for found in exits] == [0] * 10


def test_an_interrupt_sends_sigint_once_and_lets_the_child_finish(child: Child) -> None:
    child.cancel_on("ready")
    ended = child.sh(
        "trap 'echo interrupted' INT; echo ready; "
        "i=0; while [ $i -lt 8 ]; do sleep 0.05; i=$((i+1)); done; exit 1"
    )
    assert child.out == ["ready\n", "interrupted\n"]
    assert ended == process.Exit(
        returncode=1, signals=(signal.SIGINT,), interrupted=InterruptReason.CANCEL
    )


LEADER = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, lambda *_: None)
code = "import time; print('ready', flush=True); time.sleep(.3); print('whole')"
subprocess.run([sys.executable, "-c", code])
"""


def test_an_interrupt_reaches_the_leader_and_not_its_group(child: Child) -> None:
    child.cancel_on("ready")
    child.run(sys.executable, "-c", LEADER)
    assert child.out == ["ready\n", "whole\n"]


def test_a_child_that_ignores_the_interrupt_is_killed_after_its_grace(child: Child) -> None:
    child.cancel_on("ready")
    ended = child.sh("trap '' INT; echo ready; sleep 600", grace_s=0.2)
    assert ended.signals == (signal.SIGINT, signal.SIGKILL)
    assert (ended.killed, ended.returncode) == (True, -signal.SIGKILL)


def test_a_timeout_interrupts_with_the_deadline_as_reason(child: Child) -> None:
    ended = child.sh("exec sleep 600", timeout_s=0.1)
    assert (ended.interrupted, child.interrupt.reason) == (
        InterruptReason.DEADLINE,
        InterruptReason.DEADLINE,
    )


def test_a_child_that_floods_its_output_is_still_interrupted(child: Child) -> None:
    child.cancel_on("y")
    ended = child.run("yes")
    assert ended.returncode == -signal.SIGINT


def test_a_grandchild_that_keeps_the_output_open_is_killed_and_not_waited_for(
    child: Child,
) -> None:
    ended = child.sh("sleep 600 & echo $!; exit 0")
    assert ended.returncode == 0
    wait_until_gone(int(child.out[0]))


def test_a_grandchild_that_left_the_group_does_not_hang_the_call(child: Child) -> None:
    ended = child.sh("setsid sleep 600 & echo $!; exit 0")
    os.kill(int(child.out[0]), signal.SIGKILL)
    assert ended.returncode == 0


def test_a_silent_grandchild_does_not_survive(child: Child) -> None:
    child.sh("sleep 600 >/dev/null 2>&1 & echo $!")
    wait_until_gone(int(child.out[0]))


def test_a_child_does_not_survive_an_error_of_the_caller(child: Child) -> None:
    def fail(_line: str) -> None:
        raise KeyError

    child.on_line = fail
    with pytest.raises(KeyError):
        child.sh("echo $$; exec sleep 600")
    wait_until_gone(int(child.out[0]))


def test_a_run_that_is_over_leaves_no_descriptor_open(child: Child) -> None:
    child.sh("true")
    before = psutil.Process().num_fds()
    child.sh("echo one; echo two >&2")
    assert psutil.Process().num_fds() == before


HELPER = """
    import os, sys
    from datetime import timedelta
    from pathlib import Path
    from provisioner.host import process
    from provisioner.host.interrupt import Interrupt

    def run(script):
        return process.run(
            ["sh", "-c", script], cwd=Path(sys.argv[1]), environment={"PATH": os.environ["PATH"]},
            on_stdout=lambda line: print(line, end="", flush=True), on_stderr=print,
            interrupt=Interrupt(), timeout=timedelta(minutes=1), grace=timedelta(minutes=1),
        )
"""


def helper(tmp_path: Path, code: str) -> subprocess.Popen[str]:
    script = textwrap.dedent(HELPER) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )


@LINUX
def test_a_child_hears_the_signals_that_its_daemon_ignores_or_blocks(tmp_path: Path) -> None:
    """A daemon that a script started with "&" ignores SIGINT."""
    daemon = helper(
        tmp_path,
        """
        import signal
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        run("exec grep -E 'Sig(Blk|Ign)' /proc/self/status")
        """,
    )
    output, _ = daemon.communicate(timeout=30)
    unheard = [int(line.split()[1], base=16) for line in output.splitlines()]
    of_interest = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
    mask = sum(1 << (number - 1) for number in of_interest)
    assert [bits & mask for bits in unheard] == [0, 0]


@LINUX
def test_a_child_inherits_no_descriptor_that_the_daemon_has_from_its_parent(tmp_path: Path) -> None:
    daemon = helper(
        tmp_path,
        """
        os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)
        run("ls /proc/$$/fd; exit")
        """,
    )
    output, _ = daemon.communicate(timeout=30)
    assert output.split() == ["0", "1", "2"]


def test_a_process_forked_after_a_run_can_run_children_too(tmp_path: Path) -> None:
    """A prefork pool imports and may have run something before it forks."""
    parent = helper(
        tmp_path,
        """
        run("true")
        if os.fork() == 0:
            run("echo from the fork")
            os._exit(0)
        os.wait()
        """,
    )
    output, _ = parent.communicate(timeout=30)
    assert output == "from the fork\n"
