"""What the launcher does when somebody dies: its worker, a program, or it itself."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from db.jobs.leases import Lease
from provisioner.host import launcher, ownlauncher, process
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.workdir import RESERVE_FILE, WorkDirectory
from tests.harness.factory import echo_archive
from tests.harness.processes import is_gone, wait_until_gone
from tests.harness.programs import DIE, PROGRAM, STUBBORN, WORKER
from tests.harness.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
# Python 3.12 and newer warn of a fork beside threads, which one of the workers does.
QUIET_PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


# Its threads outlive the one that runs a program: signals at its death would come once for each.
def start_worker(directory: Path, code: str, *program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*QUIET_PYTHON, "-c", WORKER + textwrap.dedent(code), *program],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )


def run_until_death(directory: Path, code: str, *program: str) -> None:
    with start_worker(directory, code, *program) as worker:
        _, said = worker.communicate(timeout=30)
    assert (worker.returncode, said) == (-signal.SIGKILL, "")


def report(directory: Path) -> str:
    wait_until((directory / "report").exists, "the report", within_s=20)
    return (directory / "report").read_text()


def test_a_program_whose_worker_is_killed_hears_one_interrupt_and_can_go_on_writing(
    tmp_path: Path,
) -> None:
    run_until_death(tmp_path, DIE, sys.executable, "-I", "-c", PROGRAM)
    assert report(tmp_path) == "1"


def test_a_program_that_was_interrupted_hears_no_other_when_the_worker_is_killed(
    tmp_path: Path,
) -> None:
    code = """
    def take(line):
        interrupt.request(InterruptReason.CANCEL)
        if line == "heard\\n":
            die()
    run_program(take)
    """
    run_until_death(tmp_path, code, sys.executable, "-I", "-c", PROGRAM)
    assert report(tmp_path) == "1"


def test_a_fork_of_the_worker_does_not_hide_its_death(tmp_path: Path) -> None:
    """A child of a prefork pool outlives its parent for a moment, or longer."""
    code = """
    def take(line):
        child = os.fork()
        if child == 0:
            os.close(2)
            signal.pause()
        Path("child").write_text(str(child))
        die()
    run_program(take)
    """
    run_until_death(tmp_path, code, sys.executable, "-I", "-c", PROGRAM)
    try:
        assert report(tmp_path) == "1"
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_nobody_who_reads_a_killed_workers_errors_waits_for_its_programs(tmp_path: Path) -> None:
    run_until_death(tmp_path, DIE, "sh", "-c", STUBBORN)
    (sleep, _) = map(int, (tmp_path / "pids").read_text().split())
    is_running = not is_gone(sleep)
    (tmp_path / "go").touch()
    assert is_running


def test_room_that_is_reserved_for_a_state_is_free_when_the_worker_is_killed(
    tmp_path: Path,
) -> None:
    """The program ends by itself then, and its last state is to fit on a full disk."""
    directory = WorkDirectory(path=tmp_path / "work", lease=Lease(uuid.uuid4(), uuid.uuid4()))
    directory.make(echo_archive())
    directory.reserve(1)
    is_reserved = (directory.path / RESERVE_FILE).exists()
    run_until_death(directory.template, DIE, sys.executable, "-I", "-c", PROGRAM)
    report(directory.template)
    assert (is_reserved, (directory.path / RESERVE_FILE).exists()) == (True, False)
    directory.remove()


@pytest.mark.parametrize("which", [pytest.param(0, id="its group"), pytest.param(1, id="launcher")])
def test_what_outlived_the_worker_goes_with_the_last_program(tmp_path: Path, which: int) -> None:
    run_until_death(tmp_path, DIE, "sh", "-c", STUBBORN)
    (tmp_path / "go").touch()
    pid = int((tmp_path / "pids").read_text().split()[which])
    wait_until_gone(pid)


def test_the_launcher_goes_when_the_worker_ends(tmp_path: Path) -> None:
    with start_worker(
        tmp_path, "run_program(print)", "sh", "-c", "echo $PPID > launcher"
    ) as worker:
        _, said = worker.communicate(timeout=30)
    pid = int((tmp_path / "launcher").read_text())
    wait_until_gone(pid)
    assert said == ""


def run(
    script: str,
    take: Callable[[str], None],
    *,
    cwd: Path = Path("/"),
    interrupt: Interrupt | None = None,
    grace: timedelta = timedelta(minutes=1),
) -> process.Exit:
    return process.run(
        ["sh", "-c", script],
        cwd=cwd,
        environment=ENVIRONMENT,
        on_stdout=take,
        on_stderr=take,
        interrupt=interrupt or Interrupt(),
        timeout=timedelta(minutes=1),
        grace=grace,
    )


def kill_launcher(line: str) -> None:
    os.kill(int(line.rsplit(maxsplit=1)[-1]), signal.SIGKILL)


COUNTING = """
trap 'n=$((n+1)); echo heard' INT; echo launcher $PPID
i=0; while [ $i -lt 10 ]; do sleep .05; i=$((i+1)); done; echo $n
"""


def test_a_program_whose_launcher_is_killed_is_interrupted_once_and_read_to_its_end() -> None:
    said: list[str] = []

    def take(line: str) -> None:
        said.append(line)
        if line.startswith("launcher"):
            kill_launcher(line)

    ended = run(COUNTING, take)

    assert said[1:] == ["heard\n", "1\n"]
    assert ended == process.Exit(returncode=1, signals=(signal.SIGINT,), is_lost=True)


def test_a_program_that_was_interrupted_hears_no_other_when_the_launcher_is_killed() -> None:
    said: list[str] = []
    interrupt = Interrupt()

    def take(line: str) -> None:
        said.append(line)
        interrupt.request(InterruptReason.CANCEL)
        if line == "heard\n":
            kill_launcher(said[0])

    ended = run(COUNTING, take, interrupt=interrupt)

    assert said[1:] == ["heard\n", "1\n"]
    assert (ended.is_lost, ended.interrupted) == (True, InterruptReason.CANCEL)


def test_a_program_that_ignores_the_death_of_its_launcher_is_killed_after_its_grace() -> None:
    ended = run(
        "trap '' INT; echo $PPID; exec sleep 600", kill_launcher, grace=timedelta(seconds=0.2)
    )
    assert ended.signals == (signal.SIGINT, signal.SIGKILL)


def test_the_group_of_a_program_whose_launcher_was_killed_ends_with_it() -> None:
    said: list[str] = []

    def take(line: str) -> None:
        said.append(line)
        kill_launcher(line)

    run("sleep 600 > /dev/null & echo $! $PPID; wait", take)
    wait_until_gone(int(said[0].split()[0]))


@pytest.fixture
def killed() -> int:
    """The launcher that this process had; it was killed while it had nothing to do."""
    said: list[str] = []
    run("echo $PPID", said.append)
    pid = int(said[0])
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    return pid


def test_after_the_death_of_a_launcher_programs_are_started_by_another(killed: int) -> None:
    assert run("exit 3", print).returncode == 3


def test_a_launcher_that_died_is_not_left_as_a_zombie(killed: int) -> None:
    run("true", print)
    assert not psutil.pid_exists(killed)


def stop_launcher(line: str) -> None:
    os.kill(int(line.rsplit(maxsplit=1)[-1]), signal.SIGSTOP)


def test_a_launcher_that_somebody_stops_goes_on_when_the_program_ends() -> None:
    ended = run("echo $PPID; sleep .1; exit 3", stop_launcher)
    assert (ended.returncode, ended.is_lost) == (3, False)


def test_a_program_can_be_interrupted_though_somebody_stopped_its_launcher() -> None:
    interrupt = Interrupt()

    def take(line: str) -> None:
        stop_launcher(line)
        interrupt.request(InterruptReason.CANCEL)

    ended = run(
        "trap 'exit 4' INT; echo $PPID; while :; do sleep .05; done", take, interrupt=interrupt
    )
    assert (ended.returncode, ended.signals) == (4, (signal.SIGINT,))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot let a stopped launcher go on, and waits for it only for a moment."""
    monkeypatch.setattr(process, "_ANSWER_S", 0.3)
    monkeypatch.setattr(ownlauncher.OwnLauncher, "wake", lambda _self, _pid: None)


@pytest.mark.usefixtures("impatient")
def test_a_launcher_that_hangs_is_replaced_and_its_program_ended() -> None:
    said: list[str] = []

    def take(line: str) -> None:
        said.append(line)
        stop_launcher(line)

    ended = run("echo $$ $PPID; sleep .1", take)
    assert ended.is_lost
    wait_until_gone(int(said[0].split()[0]))
    assert run("exit 3", print).returncode == 3


@pytest.mark.usefixtures("impatient")
def test_a_program_that_ignores_interrupts_ends_though_its_launcher_hangs() -> None:
    interrupt = Interrupt()

    def take(line: str) -> None:
        stop_launcher(line)
        interrupt.request(InterruptReason.CANCEL)

    ended = run(
        "trap '' INT; echo $PPID; exec sleep 600",
        take,
        interrupt=interrupt,
        grace=timedelta(seconds=0.2),
    )
    assert ended.signals == (signal.SIGINT, signal.SIGKILL)


@pytest.mark.usefixtures("impatient")
def test_an_order_that_a_launcher_does_not_take_is_refused_in_time() -> None:
    said: list[str] = []
    run("echo $PPID", said.append)
    os.kill(int(said[0]), signal.SIGSTOP)
    with pytest.raises(OSError, match="did not answer"):
        run("true", print)
    assert run("exit 3", print).returncode == 3


SILENT = """
import os, signal, sys
sys.path.append({repository!r})
from provisioner.host import launcher
launcher._reply = lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
launcher.main()
"""


@LINUX
@pytest.mark.usefixtures("impatient", "killed")
def test_a_program_is_stopped_whose_launcher_hung_before_it_told_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "silent.py"
    script.write_text(SILENT.format(repository=str(REPOSITORY)))
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(launcher, "__file__", str(script))
        ended = run("trap 'echo heard; exit 3' INT; sleep 600 & wait", said.append, cwd=tmp_path)
    assert (ended.is_lost, ended.signals, said) == (True, (signal.SIGINT,), ["heard\n"])
    assert run("exit 3", print).returncode == 3


class Peer:
    """Speaks to a launcher of its own, as a worker does."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", launcher.__file__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={"SECRET": "of the worker"},
            )

    def begin(self, length: int) -> socket.socket:
        """Send the head of an order."""
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        reading, writing = os.pipe()
        handed = [writing, writing, reading, reading]
        with theirs:
            head = launcher.HEAD.pack(length)
            socket.send_fds(self.socket, [head], [theirs.fileno(), *handed])
        os.close(reading)
        os.close(writing)
        return ours

    def start(self, *command: str) -> socket.socket:
        order = launcher.pack_order(command, "/", ENVIRONMENT)
        channel = self.begin(len(order))
        channel.sendall(order)
        what, _pid = hear(channel)
        assert what == launcher.STARTED
        return channel


def hear(channel: socket.socket) -> tuple[int, int]:
    what, number = launcher.REPLY.unpack(channel.recv(launcher.REPLY.size))
    return what, number


def release(channel: socket.socket) -> None:
    with channel:
        channel.sendall(bytes([launcher.RELEASE]))
        while channel.recv(launcher.REPLY.size):
            pass


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.socket.close()
    assert peer.process.wait(timeout=20) == 0


def test_an_end_that_nobody_hears_any_more_does_not_end_the_launcher(peer: Peer) -> None:
    """A worker that is killed with an answer unread resets the channel."""
    unheard = peer.start("true")
    select.select([unheard], [], [], 20)
    unheard.close()
    later = peer.start("true")
    assert hear(later) == (launcher.ENDED, 0)
    release(later)


def test_a_worker_that_dies_before_its_order_is_whole_starts_nothing(peer: Peer) -> None:
    peer.begin(1_000_000).close()
    later = peer.start("true")
    assert hear(later) == (launcher.ENDED, 0)
    release(later)


def test_a_program_that_is_let_go_before_its_end_is_killed(peer: Peer) -> None:
    with peer.start("sleep", "600") as channel:
        channel.sendall(bytes([launcher.RELEASE]))
        assert hear(channel) == (launcher.ENDED, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_launcher_does_not_end_by_what_stops_a_whole_service(
    peer: Peer, number: signal.Signals
) -> None:
    first = peer.start("true")  # so that it is up
    peer.process.send_signal(number)
    later = peer.start("true")
    assert hear(later) == (launcher.ENDED, 0)
    release(first)
    release(later)


def test_a_launcher_leads_a_session_of_its_own() -> None:
    said: list[str] = []
    run("echo $PPID", said.append)
    assert os.getsid(int(said[0])) == int(said[0])


@LINUX
def test_a_launcher_has_none_of_the_workers_secrets_in_its_environment() -> None:
    said: list[str] = []
    run("echo $PPID", said.append)
    assert Path(f"/proc/{int(said[0])}/environ").read_bytes() == b""


@LINUX
def test_a_launcher_does_not_stay_in_a_work_directory(tmp_path: Path) -> None:
    """Recovery takes whoever is in there for a program that still runs."""
    said: list[str] = []
    run("echo $PPID", said.append, cwd=tmp_path)
    assert Path(f"/proc/{int(said[0])}/cwd").readlink() == Path("/")


def test_a_launcher_that_could_not_be_started_once_is_started_by_the_next_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    run("echo $PPID", said.append)
    os.kill(int(said[0]), signal.SIGKILL)
    wait_until_gone(int(said[0]))
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_spawn", refuse_process)
        with pytest.raises(BlockingIOError):
            run("true", print)
    assert run("exit 3", print).returncode == 3


def refuse_process(*_arguments: object, **_named: object) -> int:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_the_end_of_a_program_is_noticed_with_thousands_of_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this process may open too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while opened[-1] < 1024:
            opened.append(os.dup(opened[0]))
        assert run("exit 3", print).returncode == 3
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
