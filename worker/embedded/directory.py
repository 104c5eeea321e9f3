"""The directory of the embedded servers, and how commands run there as the servers' user."""

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
"""Where root's servers live when their own user cannot reach the data directory."""

TIMEOUT_S = 60.0  #: of a start or a stop; recovery and loading after a crash take their time
# A socket path may have 107 bytes, of which the longest name needs 24; and libpq takes a
# comma for the end of a host, PostgreSQL's settings a quote for more.
_FIT_FOR_SOCKETS = re.compile(r"[\w./+-]{1,80}", re.ASCII)


class EmbeddedError(Exception):
    """An embedded server cannot be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ServerDirectory:
    """Where one PostgreSQL and one Redis keep what is theirs, and as whom they run."""

    path: Path  #: data and logs of both servers
    sockets: Path
    user: str | None  #: the user whom the servers run as; None for the user of this process


def make_server_directory(home: Path) -> ServerDirectory:
    """Make the folders that both servers need; may be repeated."""
    user = _system_user() if os.geteuid() == 0 else None
    folder = home / EMBEDDED_SERVERS.name
    if not folder.exists():
        folder.unlink(missing_ok=True)  # a link to what is gone
        make_private(folder, user)
        if user and not _reaches(user, folder):
            folder.rmdir()
            folder.symlink_to(make_private(_elsewhere(home), user))
    folder = folder.resolve()
    return ServerDirectory(path=folder, sockets=_make_socket_folder(folder, user), user=user)


def drop_socket_folder(directory: ServerDirectory) -> None:
    """Remove the folder that stood in for one with an unfit path."""
    link = directory.path / SOCKETS_LINK
    if link.is_symlink():
        link.unlink()
        shutil.rmtree(directory.sockets, ignore_errors=True)


def make_private(folder: Path, user: str | None) -> Path:
    """Make a folder that only the servers' user (and root) can enter."""
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    folder.chmod(0o700)
    return folder


def within_reach(directory: ServerDirectory, package: Path, part: str, probe: str) -> Path:
    """Return a part of a wheel, or a copy of it if the servers' user cannot run what is in it.

    Args:
        directory: where a copy goes, and whose reach counts.
        package: the folder of the installed package.
        part: the folder in it.
        probe: a program in that folder.
    """
    if _reaches(directory.user, package / part / probe):
        return package / part
    copy = directory.path / f"{package.name}-{importlib.metadata.version(package.name)}"
    if not copy.exists():
        draft = copy.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        # Programs find the wheel's shared libraries by the way that leads from one to the other.
        for name in (f"{package.name}/{part}", f"{package.name}.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, draft / name, symlinks=True)
        for path in [draft, *draft.rglob("*")]:
            path.chmod(0o755)
        draft.rename(copy)
    return copy / package.name / part


def wheel_folder(module: str) -> Path | None:
    """Return an installed package's folder without importing it; only its binaries are wanted."""
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def run(command: Sequence[str], user: str | None, log: Path | None = None) -> int:
    """Run a short command as ``user``; return its exit status."""
    # None of our environment: it holds secrets, and servers outlive who set it.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with (log or Path(os.devnull)).open("ab") as output:
        if log and user:
            shutil.chown(log, user)  # the server goes on writing to it
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
    """Wait until ``condition`` holds; raise EmbeddedError if it does not in time."""
    if not wait_until(condition, limit_s=TIMEOUT_S, tick_s=0.01):
        raise failure(server, log, verb=verb)


def failure(server: str, log: Path, *, verb: str = "start") -> EmbeddedError:
    """Return the error for a server that did not start or stop, with its own last words."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    words = [line.strip() for line in lines if line.strip()] or ["it wrote nothing"]
    last = next((line for line in reversed(words) if "FATAL" in line), words[-1])
    return EmbeddedError(f"{server} did not {verb}: {last} (more in {log}).")


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tcp_port(port: int | None, tcp: bool, server: str) -> int | None:
    """Return ``port`` if TCP is wanted; raise EmbeddedError if the server does not listen."""
    if not tcp:
        return None
    if port is None:
        raise EmbeddedError(
            f"{server} already runs without TCP: end the programs that use this data directory."
        )
    return port


def _system_user() -> str:
    """Return the servers' own user under root, made if missing."""
    if not _has_user(SYSTEM_USER):
        shell = ["--shell", "/bin/false"]
        with suppress(OSError):
            run(["useradd", "--system", "--no-create-home", *shell, SYSTEM_USER], None)
    if not _has_user(SYSTEM_USER):
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be "
            "made: run provisionerd as an ordinary user, or set PROVISIONERD_DATABASE_URL "
            "and PROVISIONERD_REDIS_URL."
        )
    return SYSTEM_USER


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _reaches(user: str | None, path: Path) -> bool:
    """Return whether the user gets to ``path``; tried, since modes are not the whole story."""
    return run(["test", "-x", str(path)], user) == 0


def _elsewhere(home: Path) -> Path:
    # The folders above are often root's own home. Opening them to everybody, as the
    # wheel's own launcher does, is not ours to decide.
    UNREACHABLE_HOME.mkdir(parents=True, exist_ok=True)
    UNREACHABLE_HOME.chmod(0o755)
    name = hashlib.sha256(f"{home}-{home.stat().st_ino}".encode()).hexdigest()[:12]
    return UNREACHABLE_HOME / name


def _make_socket_folder(folder: Path, user: str | None) -> Path:
    """Return where the sockets go; a link notes a folder with a plainer path."""
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
    # After a reboot somebody else may own the name that the link notes.
    try:
        found = link.readlink().lstat()
    except OSError:
        return False
    return found.st_uid == folder.stat().st_uid and found.st_mode & 0o777 == 0o700
