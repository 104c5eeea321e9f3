"""The directory of the embedded servers, and commands that run there as the servers' user."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.broker.address import EMBEDDED_SERVERS, SOCKETS, SOCKETS_LINK
from worker.waiting import wait_until

SYSTEM_USER = "provisionerd"
UNREACHABLE_HOME = Path("/var/lib/provisionerd")
"""The directory for the servers of root when the servers' user cannot reach the data directory."""

TIMEOUT_S = 60.0  #: of a start or a stop; recovery and loading after a crash take some time
# A socket path may have 107 bytes, of which the longest name needs 24. In libpq a comma ends a
# host, and in PostgreSQL's settings a quote needs escaping.
_FIT_FOR_SOCKETS = re.compile(r"[\w./+-]{1,80}", re.ASCII)


class EmbeddedError(Exception):
    """An embedded server cannot be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ServerDirectory:
    """The directory of one PostgreSQL and one Redis, and the user they run as."""

    path: Path  #: data and logs of both servers
    sockets: Path
    user: str | None  #: the user that the servers run as; None for the user of this process


def make_server_directory(home: Path) -> ServerDirectory:
    """Create the folders that both servers need; may be repeated."""
    user = _system_user() if os.geteuid() == 0 else None
    folder = home / EMBEDDED_SERVERS.name
    if not folder.exists():
        folder.unlink(missing_ok=True)  # a dangling link
        make_private(folder, user)
        if user and not _can_execute(user, folder):
            folder.rmdir()
            folder.symlink_to(make_private(_elsewhere(home), user))
    folder = folder.resolve()
    return ServerDirectory(path=folder, sockets=_make_socket_folder(folder, user), user=user)


def drop_socket_folder(directory: ServerDirectory) -> None:
    """Remove the folder that replaced one whose path is unusable for sockets."""
    link = directory.path / SOCKETS_LINK
    if link.is_symlink():
        link.unlink()
        shutil.rmtree(directory.sockets, ignore_errors=True)


def make_private(folder: Path, user: str | None) -> Path:
    """Create a folder that only the servers' user (and root) can enter."""
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    folder.chmod(0o700)
    return folder


def executable_folder(directory: ServerDirectory, package: Path, part: str, probe: str) -> Path:
    """Return a folder of a wheel, or a copy of it if the servers' user cannot run its programs.

    Args:
        directory: holds the copy, and names the servers' user.
        package: the folder of the installed package.
        part: the wanted folder, relative to ``package``.
        probe: a program in that folder.
    """
    if _can_execute(directory.user, package / part / probe):
        return package / part
    copy = directory.path / f"{package.name}-{importlib.metadata.version(package.name)}"
    if not copy.exists():
        _copy_wheel(package, part, copy)
    return copy / package.name / part


def _copy_wheel(package: Path, part: str, copy: Path) -> None:
    draft = copy.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    # Programs find the wheel's shared libraries by a relative path.
    for name in (f"{package.name}/{part}", f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, draft / name, symlinks=True)
    for path in [draft, *draft.rglob("*")]:
        path.chmod(0o755)
    draft.rename(copy)


def wheel_folder(module: str) -> Path | None:
    """Return an installed package's folder without importing the package."""
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def run(command: Sequence[str], user: str | None, log: Path | None = None) -> int:
    """Run a short command as ``user``; return its exit status."""
    # Not our environment: it holds secrets, and servers outlive the process that has it.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with (log or Path(os.devnull)).open("ab") as output:
        if log and user:
            shutil.chown(log, user)  # the server keeps writing to it
        return subprocess.run(
            command,
            check=False,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            umask=0o077,
            start_new_session=True,
        ).returncode


def await_server(
    condition: Callable[[], bool], server: str, log: Path, *, verb: str = "start"
) -> None:
    """Wait until ``condition`` holds.

    Raises:
        EmbeddedError: it does not hold in time.
    """
    if not wait_until(condition, limit_s=TIMEOUT_S, tick_s=0.01):
        raise failure(server, log, verb=verb)


def failure(server: str, log: Path, *, verb: str = "start") -> EmbeddedError:
    """Return the error for a server that did not start or stop, with its last log line."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it wrote nothing"]
    fatal = [line for line in lines if "FATAL" in line]
    return EmbeddedError(f"{server} did not {verb}: {(fatal or lines)[-1]} (more in {log}).")


def free_port() -> int:
    """Return a port of the loopback interface that is not in use now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tcp_port(port: int | None, tcp: bool, server: str) -> int | None:
    """Return ``port`` if TCP is wanted, else None.

    Raises:
        EmbeddedError: TCP is wanted, and the server that already runs does not listen on TCP.
    """
    if not tcp:
        return None
    if port is None:
        raise EmbeddedError(
            f"{server} already runs without TCP: stop the programs that use this data directory."
        )
    return port


def _system_user() -> str:
    """Return the user that root's servers run as; create it if it is missing."""
    if not _has_user(SYSTEM_USER):
        shell = ["--shell", "/bin/false"]
        with suppress(OSError):
            run(["useradd", "--system", "--no-create-home", *shell, SYSTEM_USER], None)
    if not _has_user(SYSTEM_USER):
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be "
            "created: run provisionerd as an ordinary user, or set PROVISIONERD_DATABASE_URL "
            "and PROVISIONERD_REDIS_URL."
        )
    return SYSTEM_USER


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _can_execute(user: str | None, path: Path) -> bool:
    """Return whether the user can execute ``path``; tried, since file modes do not decide it."""
    return run(["test", "-x", str(path)], user) == 0


def _elsewhere(home: Path) -> Path:
    # The folders above are often root's own home. The wheel's own launcher opens them to
    # everybody; we must not decide that.
    UNREACHABLE_HOME.mkdir(parents=True, exist_ok=True)
    UNREACHABLE_HOME.chmod(0o755)
    name = hashlib.sha256(f"{home}-{home.stat().st_ino}".encode()).hexdigest()[:12]
    return UNREACHABLE_HOME / name


def _make_socket_folder(folder: Path, user: str | None) -> Path:
    """Return the folder of the sockets; if its path is unusable, a link names another folder."""
    sockets = folder / SOCKETS
    if _FIT_FOR_SOCKETS.fullmatch(str(sockets)):
        return make_private(sockets, user)
    link = folder / SOCKETS_LINK
    if not _is_ours(link, folder):
        link.unlink(missing_ok=True)
        link.symlink_to(
            make_private(Path(tempfile.mkdtemp(prefix="provisionerd-", dir="/tmp")), user)
        )
    return link.readlink()


def _is_ours(link: Path, folder: Path) -> bool:
    # After a reboot another user may own the folder that the link names.
    try:
        found = link.readlink().lstat()
    except OSError:
        return False
    return found.st_uid == folder.stat().st_uid and found.st_mode & 0o777 == 0o700
