"""Which Terraform (or OpenTofu) a binary is, and whether it is new enough."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from provisioner.engines.port import EngineError
from provisioner.host import process
from provisioner.host.interrupt import Interrupt

_TIMEOUT = timedelta(seconds=30)
_NUMBER = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, order=True)
class Version:
    """A release. What follows the patch number (``-beta1``) does not count."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


MINIMUM = Version(1, 1, 0)
JSON_INIT = Version(1, 9, 0)
"""The first release whose ``init`` knows ``-json``."""


def read_version(binary: Path) -> Version:
    """Ask ``binary`` for its version.

    Raises:
        EngineError: it can not be started, or its answer is not that of Terraform or OpenTofu.
    """
    pieces: list[str] = []
    with tempfile.TemporaryDirectory(prefix="provisionerd-") as empty:
        try:
            ended = process.run(
                [str(binary), "version", "-json"],
                cwd=Path(empty),
                environment={"HOME": empty, "CHECKPOINT_DISABLE": "1"},
                on_stdout=pieces.append,
                on_stderr=lambda _line: None,
                interrupt=Interrupt(),
                timeout=_TIMEOUT,
                grace=timedelta(seconds=1),
            )
        except OSError as error:
            raise EngineError(f'can not run "{binary}": {error.strerror or error}') from error
    version = parse_version("".join(pieces))
    if version is None:
        raise EngineError(
            f'"{binary} version -json" (exit status {ended.returncode}) did not tell a version; '
            "is it Terraform or OpenTofu?"
        )
    return version


def parse_version(output: str) -> Version | None:
    """Return the version in the output of ``version -json``, or None if there is none.

    OpenTofu tells its version under Terraform's name, ``terraform_version``.
    """
    try:
        answer = json.loads(output)
    except ValueError:
        return None
    told = answer.get("terraform_version") if isinstance(answer, dict) else None
    found = _NUMBER.match(told) if isinstance(told, str) else None
    return Version(*map(int, found.groups())) if found else None


def check_version(version: Version) -> None:
    """Refuse a Terraform that is too old.

    Raises:
        EngineError: ``version`` is lower than ``MINIMUM``.
    """
    if version < MINIMUM:
        raise EngineError(
            f'terraform version "{version}" is too old; provisionerd needs at least "{MINIMUM}"'
        )
