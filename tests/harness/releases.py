"""The last released version, made from its commit in a virtualenv of its own."""

from __future__ import annotations

import fcntl
import io
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
HOME = REPOSITORY / "build/releases"

VERSION = "0.1.0"
COMMIT = "28f2e3b1c99e47d98c0bbbb34e6628c23d54ae1c"  #: what it was made from, where no tag says it
LAST_MIGRATION = "0003"
MIGRATIONS = Path("db/migrations/versions")  #: where its sources have them
STATEMENTS = (
    # Enqueue; claim, checkpoint and finish; renew and reap; write and read logs; list.
    "tests/integration/test_workspaces.py",
    "tests/integration/test_transitions.py",
    "tests/integration/test_states.py",
    "tests/integration/test_leases.py",
    "tests/integration/test_logs.py",
    "tests/integration/test_queue.py",
    "tests/integration/test_queries.py",
    "tests/integration/test_prepared_statements.py",
    "tests/integration/quota",
)
"""Its tests of what workers, services and commands ask of the database."""

INSTALL_S = 900


class NotAvailableError(Exception):
    """The released version cannot be had here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """An installed version of provisionerd."""

    name: str
    programs: Path  #: the folder of its virtualenv's programs

    @property
    def python(self) -> Path:
        return self.programs / "python"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of its ``provisionerd``."""
        return [str(self.programs / "provisionerd"), *arguments]


CURRENT = Version(name="current", programs=Path(sys.executable).parent)


@dataclass(frozen=True, kw_only=True)
class Release(Version):
    """A released version, and its sources with their tests."""

    sources: Path


_HERE = HOME / VERSION
_STAMP = _HERE / "made"
RELEASE = Release(name="released", programs=_HERE / "venv" / "bin", sources=_HERE / "sources")


def last_release() -> Release:
    """Return the last released version. It is kept, so only the first call takes minutes.

    Raises:
        NotAvailableError: its commit is not in this clone, or its packages cannot be installed.
    """
    commit = _commit()
    with _turn():
        if not _is_made_of(commit):
            shutil.rmtree(_HERE, ignore_errors=True)
            _unpack(commit, RELEASE.sources)
            _install(RELEASE, _HERE / "venv")
            _STAMP.write_text(_made_of(commit))
    return RELEASE


def kept_release() -> Release | None:
    """Return the last released version if an earlier call has made it."""
    with suppress(NotAvailableError):
        if _is_made_of(_commit()):
            return RELEASE
    return None


def _is_made_of(commit: str) -> bool:
    return _STAMP.exists() and _STAMP.read_text() == _made_of(commit)


def _made_of(commit: str) -> str:
    return f"{commit} {sys.version}"


@contextmanager
def _turn() -> Iterator[None]:
    """Let one process at a time make it."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _commit() -> str:
    for name in (f"v{VERSION}", COMMIT):
        found = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.returncode == 0:
            return found.stdout.decode().strip()
    raise NotAvailableError(
        f"this clone has neither the tag v{VERSION} nor the commit {COMMIT[:7]}:"
        " git fetch --unshallow"
    )


def _unpack(commit: str, folder: Path) -> None:
    archive = _git("archive", "--format=tar", commit)
    archive.check_returncode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as members:
        members.extractall(folder, filter="data")


def _install(release: Release, folder: Path) -> None:
    venv.create(folder, with_pip=True)
    locked = ("--require-hashes", "--requirement", str(release.sources / "requirements.lock"))
    own = ("--no-deps", "--no-build-isolation", str(release.sources))
    for arguments in (locked, own):
        done = subprocess.run(
            [release.python, "-m", "pip", "install", "--quiet", "--retries=1", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise NotAvailableError(f"the packages of {VERSION} cannot be installed: {reason}")


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("git") is None:
        raise NotAvailableError("this machine lacks git")
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, check=False, capture_output=True)
