"""What the code of a template tries against its host. Each attack works without a sandbox."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from provisioner.host.sandbox.limits import Limit
from provisioner.host.sandbox.port import SandboxMode
from tests.harness.confined import SYSTEM_PYTHON, Job, has_landlock
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

READ = "import sys; print(open(sys.argv[1]).read())"
WRITE = "import sys; open(sys.argv[1], 'a').write('evil')"
CONNECT = """
import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""
SIGNAL = "import os, sys; os.kill(int(sys.argv[1]), 18)"  # SIGCONT does no harm where it arrives
TRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, int(sys.argv[1]), 0, 0):  # PTRACE_ATTACH
    raise OSError(ctypes.get_errno())
"""
BOMB = """
import os, time
for _ in range(7):
    os.fork()
try:
    os.wait()  # when one of them ends, all do
except ChildProcessError:
    time.sleep(20)
raise SystemExit(1)
"""
DAEMON = "setsid bash -c 'exec -a {name} sleep 600' >/dev/null 2>&1 & sleep 0.2"


KEEP_UNLINKED = """
import os, time
kept = []
for _ in range(4):
    kept.append(open("removed", "wb"))
    os.unlink("removed")
    kept[-1].write(bytes(15_000_000))
    kept[-1].flush()
time.sleep(20)
"""
FILL_MEMORY_FILE = """
import os, time
file = os.memfd_create("anonymous")
for _ in range(20):
    os.write(file, bytes(10_000_000))
time.sleep(20)
"""
FILL = """
import os
size = 0
for path in ("/filler", "/dev/filler", "/dev/shm/filler"):
    try:
        with open(path, "wb") as file:
            for _ in range(10):
                file.write(bytes(10_000_000))
                size += 10_000_000
    except OSError:
        pass
print(size)
"""
CONNECT_ABSTRACT = """
import socket, sys
socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[1])
"""
SET_USER_ID = """
import os, stat
def make_as(mode):
    os.close(os.open("opened", os.O_CREAT | os.O_WRONLY, mode))
def change(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o755))
    os.chmod(name, 0o4755)
def change_open():
    file = os.open("fd", os.O_CREAT | os.O_WRONLY, 0o755)
    os.fchmod(file, 0o2755)
tries = [
    lambda: make_as(0o4755),
    lambda: change("changed"),
    change_open,
    lambda: os.mknod("made", 0o4755 | stat.S_IFREG),
]
for attempt in tries:
    try:
        attempt()
    except PermissionError:
        pass
print([name for name in os.listdir() if os.stat(name).st_mode & 0o6000])
"""
KEEP_FORKING = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        end = time.time() + 60
        while time.time() < end:
            if os.fork():
                os._exit(0)
time.sleep(0.3)
"""
TAKE_FROM_ANOTHER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
calls = [(302, pid, 7, 0, 0), (141, 0, pid, 5), (251, 1, pid, 3 << 13), (203, pid, 8, b"\\x01" * 8)]
print([libc.syscall(*call) for call in calls])
"""
CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for word in sys.argv[1:]:
    number, flags = map(int, word.split(":"))
    found = libc.syscall(number, flags, 0, 0, 0, 0)
    print(number, ctypes.get_errno() if found < 0 else 0)
"""
ON_X86 = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the numbers of calls are of x86-64"
)
ONLY_LANDLOCK = pytest.mark.parametrize("mode", [SandboxMode.LANDLOCK], indirect=True)


# The kernel has no rule for the paths of sockets, and none for a part of a folder that is allowed.
NOT_BY_LANDLOCK = pytest.mark.parametrize("mode", [SandboxMode.BWRAP], indirect=True)


@pytest.fixture
def other(host: Path, uid: int) -> Path:
    """A file of the job's user that belongs to somebody else's build."""
    path = host / "other" / "terraform.tfstate"
    path.parent.mkdir(mode=0o700)
    path.write_text("secret of another build")
    for found in (path.parent, path):
        os.chown(found, uid, uid)
    return path


@pytest.fixture
def worker(uid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the job's user with a secret in its environment."""
    user = (
        []
        if uid == os.getuid()
        else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    )
    with subprocess.Popen([*user, "sleep", "600"], env={"PASSWORD": "secret of worker"}) as process:
        wait_until(lambda: psutil.Process(process.pid).name() == "sleep", "the process to start")
        yield process
        process.kill()


@pytest.fixture
def server(host: Path, uid: int) -> Iterator[Path]:
    """A Unix socket, as PostgreSQL and Redis have."""
    path = host / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chown(path, uid, uid)
        listener.listen()
        yield path


def test_the_files_of_other_builds_cannot_be_read(job: Job, free: Job, other: Path) -> None:
    assert "secret" in free.python(READ, other).output
    assert "secret" not in job.python(READ, other).output


def test_the_files_of_other_builds_cannot_be_written(job: Job, free: Job, other: Path) -> None:
    job.python(WRITE, other)
    assert "evil" not in other.read_text()
    free.python(WRITE, other)
    assert "evil" in other.read_text()


def test_the_environment_of_the_worker_cannot_be_read(
    job: Job, free: Job, worker: subprocess.Popen[bytes]
) -> None:
    environment = f"/proc/{worker.pid}/environ"
    assert "secret" in free.python(READ, environment).output
    assert "secret" not in job.python(READ, environment).output


def test_the_worker_cannot_be_signaled(
    job: Job, free: Job, worker: subprocess.Popen[bytes]
) -> None:
    assert free.python(SIGNAL, worker.pid).status == 0
    assert job.python(SIGNAL, worker.pid).status != 0


@ON_X86
def test_calls_that_go_round_the_rules_are_forbidden(job: Job) -> None:
    forbidden = {101: 0, 310: 0, 438: 0, 308: 0, 165: 0, 304: 0, 250: 0, 321: 0, 425: 0}
    namespaces = [f"272:{0x10000000}", f"56:{0x10000000}"]  # unshare and clone with a new user
    words = [*(f"{number}:{flags}" for number, flags in forbidden.items()), *namespaces, "435:0"]
    said = dict(line.split() for line in job.python(CALLS, *words).output.splitlines())
    assert said.pop("435") == str(errno.ENOSYS)
    assert set(said.values()) == {str(errno.EPERM)}
    assert len(said) == len(forbidden) + 2


def test_programs_and_threads_start_under_the_filter(job: Job) -> None:
    code = (
        "import threading, subprocess; t = threading.Thread(target=print, args=('thread',));"
        " t.start(); t.join(); subprocess.run(['echo', 'program'])"
    )
    assert set(job.python(code).output.split()) == {"thread", "program"}


def test_the_worker_cannot_be_traced(job: Job, free: Job, worker: subprocess.Popen[bytes]) -> None:
    assert job.python(TRACE, worker.pid).status != 0
    assert free.python(TRACE, worker.pid).status == 0


def test_the_group_of_its_own_process_does_not_lead_out(job: Job) -> None:
    """The guard and the sandbox itself stand in another group than the template's processes."""
    ended = job.shell("trap '' TERM; kill -TERM 0; sleep 0.2; echo still here")
    assert ended.output == "still here\n"


@NOT_BY_LANDLOCK
def test_sockets_of_servers_cannot_be_reached(job: Job, free: Job, server: Path) -> None:
    assert free.python(CONNECT, server).status == 0
    assert job.python(CONNECT, server).status != 0


def test_the_home_of_the_user_cannot_be_read(job: Job, uid: int) -> None:
    home = "/root" if uid == 0 else "/home"
    assert job.run("/bin/ls", home).status != 0


def test_the_hosts_own_settings_cannot_be_read(job: Job) -> None:
    assert job.run("/bin/cat", "/etc/shadow").status != 0
    assert job.run("/bin/ls", "/run").status != 0


@NOT_BY_LANDLOCK
def test_providers_cannot_be_changed(job: Job, uid: int) -> None:
    """The installed ones are links to files that all builds of the host share."""
    provider = job.template / ".terraform/providers/p"
    provider.parent.mkdir(parents=True)
    provider.write_text("good")
    for path in (provider, provider.parent, provider.parent.parent):
        os.chown(path, uid, uid)
    assert job.python(WRITE, provider, protected=[provider.parent]).status != 0
    assert job.shell(f"chmod 777 {provider}", protected=[provider.parent]).status != 0
    assert provider.read_text() == "good"


def test_the_system_cannot_be_changed(job: Job) -> None:
    assert job.run("/usr/bin/touch", "/usr/bin/evil").status != 0
    assert job.python("open('/proc/sys/kernel/core_pattern', 'a')").status != 0


def test_its_own_folders_can_be_written(job: Job) -> None:
    assert job.shell("echo 1 >file && echo 2 >~/file").status == 0
    assert (job.template / "file").read_text() == "1\n"
    assert (job.home / "file").read_text() == "2\n"


def test_the_system_can_be_used(job: Job) -> None:
    ended = job.shell("awk 'BEGIN { print 1 }' && getent passwd $(id -u) >&2; test -r /etc/hosts")
    assert ended.status == 0
    assert ended.output.startswith("1\n")


@NOT_BY_LANDLOCK
def test_its_user_has_a_name(job: Job, uid: int) -> None:
    """Programs such as ssh refuse to run without one. An ordinary user has that of the host."""
    if uid == 0:
        assert "build:x:" in job.shell("getent passwd $(id -u)").output


def test_builds_of_root_run_as_another_user(job: Job, uid: int) -> None:
    own = job.shell("id -u").output.strip()
    assert own == str(uid) if uid else own != "0"


def test_no_descriptor_is_inherited(job: Job) -> None:
    listed = job.python("import os; print(sorted(os.listdir('/dev/fd')))").output
    assert listed == "['0', '1', '2', '3']\n"  # the last one is that of the listing


def test_no_capability_is_left(job: Job, uid: int) -> None:
    # An ordinary user can keep the bounding set: nothing can be gained from it any more.
    kinds = "Prm|Eff|Bnd" if uid == 0 else "Prm|Eff"
    ended = job.shell(f"exec grep -E 'Cap({kinds})' /proc/$$/status")
    assert {line.split()[1] for line in ended.output.splitlines()} == {"0" * 16}


def test_what_is_left_running_ends_with_the_command(job: Job, free: Job) -> None:
    name = f"daemon-of-{job.folder.parent.name}"
    job.shell(DAEMON.format(name=name))
    assert not daemons(name)
    free.shell(DAEMON.format(name=name))
    (daemon,) = daemons(name)
    daemon.kill()


def test_a_daemon_ends_with_a_command_that_is_killed(job: Job) -> None:
    name = f"daemon-of-{job.folder.parent.name}"
    code = f"{DAEMON.format(name=name)}; trap '' INT; while :; do sleep 1; done"
    assert job.shell(code, timeout_s=1, grace_s=0.5).status == -signal.SIGKILL
    wait_until(lambda: not daemons(name), "the end of the daemon")


def test_an_interrupt_reaches_the_program_once(job: Job) -> None:
    code = """
import signal, sys, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
while not heard:
    time.sleep(0.01)
time.sleep(0.3)
print(len(heard))
sys.exit(7)
"""
    ended = job.python(code, timeout_s=1)
    assert (ended.status, ended.output) == (7, "1\n")


def test_a_signal_that_ends_the_program_is_told(job: Job) -> None:
    assert job.shell("kill -KILL $$").status == -signal.SIGKILL


def test_a_fork_bomb_ends_at_the_limit(job: Job) -> None:
    job.limits["processes"] = 64
    ended = job.python(BOMB)
    assert ended.limit is Limit.PROCESSES or "BlockingIOError" in ended.output
    assert ended.status != 0


def test_memory_is_limited_for_a_process(job: Job) -> None:
    job.limits["memory_megabytes"] = 100
    ended = job.python("x = b'a' * 150_000_000")
    assert "MemoryError" in ended.output


def test_memory_is_limited_for_all_processes_together(job: Job) -> None:
    job.limits["memory_megabytes"] = 100
    hog = "python3 -c 'x = b\"a\" * 60_000_000; import time; time.sleep(20)'"
    ended = job.shell(f"{hog} & {hog} & wait -n; wait -n; exit 1")
    assert ended.limit is Limit.MEMORY


def test_limits_hold_while_processes_end_all_the_time(job: Job) -> None:
    """The guard hears of the end of each process that has lost its parent."""
    job.limits["memory_megabytes"] = 100
    script = job.template / "forks.py"
    script.write_text(KEEP_FORKING)
    script.chmod(0o644)
    hog = "python3 -c 'x = b\"a\" * 60_000_000; import time; time.sleep(30)'"
    assert job.shell(f"python3 -I {script} & {hog} & {hog} & wait; exit 1").limit is Limit.MEMORY


def test_the_program_itself_may_go_on_after_the_rest_was_killed(job: Job) -> None:
    """Terraform then writes its state, with what it has made."""
    job.limits["memory_megabytes"] = 100
    hog = "python3 -c 'x = b\"a\" * 60_000_000; import time; time.sleep(20)'"
    ended = job.shell(f"{hog} & {hog} & wait; echo state >state; exit 1")
    assert ended.limit is Limit.MEMORY
    assert (job.template / "state").exists()


def test_disk_space_is_limited(job: Job) -> None:
    job.limits["disk_megabytes"] = 20
    code = "for n in 1 2 3; do head -c 15000000 /dev/zero >f$n; done; sleep 20 & wait; exit 1"
    assert job.shell(code).limit is Limit.DISK


def test_one_file_is_limited(job: Job) -> None:
    job.limits["disk_megabytes"] = 20
    ended = job.shell("head -c 50000000 /dev/zero >f")
    assert ended.status != 0
    assert (job.template / "f").stat().st_size <= 20 * 1024**2


def test_open_files_are_limited(job: Job) -> None:
    job.limits["open_files"] = 64
    ended = job.python("x = [open('/dev/null') for _ in range(100)]")
    assert "Too many open files" in ended.output


def test_removed_files_that_are_open_count_for_the_disk(job: Job) -> None:
    job.limits["disk_megabytes"] = 20
    assert job.shell(f"python3 -I -c '{KEEP_UNLINKED}' & wait; exit 1").limit is Limit.DISK


def test_anonymous_files_count_for_the_memory(job: Job) -> None:
    job.limits["memory_megabytes"] = 100
    assert job.shell(f"python3 -I -c '{FILL_MEMORY_FILE}' & wait; exit 1").limit is Limit.MEMORY


def test_file_systems_in_memory_cannot_be_filled(job: Job) -> None:
    assert int(job.python(FILL).output) <= 64 * 1024**2


def test_no_program_can_be_left_that_runs_as_its_owner(job: Job, free: Job) -> None:
    """Whoever of the host ran it would be the worker's user."""
    assert "changed" in free.python(SET_USER_ID).output
    assert job.python(SET_USER_ID).output == "[]\n"


@pytest.mark.skipif(not has_landlock(), reason="the kernel cannot forbid abstract sockets")
def test_abstract_sockets_of_servers_cannot_be_reached(job: Job, free: Job, host: Path) -> None:
    name = f"server-of-{host.name}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        assert free.python(CONNECT_ABSTRACT, name).status == 0
        assert job.python(CONNECT_ABSTRACT, name).status != 0


@ON_X86
def test_nothing_can_be_taken_from_the_worker(
    job: Job, free: Job, worker: subprocess.Popen[bytes]
) -> None:
    """Its processor, its priority, and the number of its files."""
    assert "-1" not in free.python(TAKE_FROM_ANOTHER, worker.pid).output
    assert job.python(TAKE_FROM_ANOTHER, worker.pid).output == "[-1, -1, -1, -1]\n"


def test_shared_memory_does_not_outlive_the_command(job: Job) -> None:
    before = segments()
    job.shell("ipcmk -M 1000000")
    assert segments() == before


def test_a_process_that_is_replaced_all_the_time_ends_with_the_command(job: Job) -> None:
    script = job.template / f"forks-of-{job.folder.parent.name}.py"
    script.write_text(KEEP_FORKING)
    script.chmod(0o644)
    job.run(SYSTEM_PYTHON, "-I", str(script))
    assert not any(forks(script) for _ in range(5))


def forks(script: Path) -> list[int]:
    """The processes of this host that run the script."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if str(script) in (process.info["cmdline"] or [])]


def segments() -> set[str]:
    """The shared memory of this host that this test could have made."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return {line for line in lines if " 1000000 " in line}


def daemons(name: str) -> list[psutil.Process]:
    """The processes of this host that have given themselves the name."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if (process.info["cmdline"] or [])[:1] == [name]]
