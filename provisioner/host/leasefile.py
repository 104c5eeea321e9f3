"""The file that says which claim a work directory belongs to, signed by the host's workers.

Recovery stores the state of a directory under the job that its lease file names. A program of a
template that could write such a file, or copy one, would change another owner's state. So the file
is signed for the directory's name with a key that only workers can read.

The key is ``WORK_DIR/lease.key``, made by the first worker of the host. A lease file that is older
than the key was written by a version that did not sign, or before an operator deleted the key, and
is believed: nobody can set back the time at which a file was changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from db.jobs.leases import Lease
from provisioner.host.reading import read_file

LEASE_FILE = "lease.json"
KEY_FILE = "lease.key"
_KEY_BYTES = 32
_LIMIT = 4096


class ForgedLeaseError(Exception):
    """A lease file is not one that a worker of this host wrote for this directory."""


class LeaseKey:
    """The key of a work root."""

    def __init__(self, secret: bytes, made_at: float) -> None:
        self._secret = secret
        self._made_at = made_at

    def write(self, descriptor: int, directory: str, lease: Lease) -> None:
        """Write the lease file of the directory of that name."""
        fields = {"job_id": str(lease.job_id), "lease_token": str(lease.token)}
        signed = {**fields, "signature": self._sign(directory, lease)}
        os.write(descriptor, json.dumps(signed).encode())
        os.fsync(descriptor)  # Terraform syncs its state, too: neither is of use without the other

    def read(self, directory: Path) -> Lease:
        """Return the lease of a directory.

        Raises:
            ForgedLeaseError: its lease file is not signed for it, or is not a worker's.
            FileNotFoundError: there is none.
            ValueError: it is incomplete.
        """
        lease, signature = _stored(directory)
        facts = (directory / LEASE_FILE).lstat()
        if facts.st_uid not in {os.geteuid(), 0}:
            raise ForgedLeaseError("a stranger owns it")
        if not directory.name.startswith(f"{lease.job_id.hex[:12]}-"):
            raise ForgedLeaseError("it names another job than the directory")
        if facts.st_ctime < self._made_at:
            return lease
        wanted = self._sign(directory.name, lease)
        if not isinstance(signature, str) or not hmac.compare_digest(signature, wanted):
            raise ForgedLeaseError("its signature is not right")
        return lease

    def _sign(self, directory: str, lease: Lease) -> str:
        text = f"{directory}\n{lease.job_id}\n{lease.token}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def _stored(directory: Path) -> tuple[Lease, object]:
    """Return the lease that the file of a directory names, and its signature."""
    try:
        stored = json.loads(read_file(directory, LEASE_FILE, limit=_LIMIT))
        lease = Lease(uuid.UUID(stored["job_id"]), uuid.UUID(stored["lease_token"]))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a lease file") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ForgedLeaseError("it is not a plain file") from error
    return lease, stored.get("signature")


def lease_key(root: Path) -> LeaseKey:
    """Return the key of a work root; make it if there is none.

    Raises:
        OSError: it cannot be made or read, or others may read it.
    """
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    path = root / KEY_FILE
    try:
        return _read(path)
    except FileNotFoundError:
        draft = root / f".{KEY_FILE}.{uuid.uuid4().hex}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):  # another worker was faster
            os.link(draft, path)
        draft.unlink()
        return _read(path)


def _read(path: Path) -> LeaseKey:
    secret = read_file(path.parent, path.name, limit=_LIMIT)
    facts = path.lstat()
    if len(secret) < _KEY_BYTES or facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OSError(
            f"{path} must be a key that only this user can read; delete it while no worker runs"
        )
    return LeaseKey(secret, facts.st_mtime)
