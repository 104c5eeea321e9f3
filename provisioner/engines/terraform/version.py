"""Read the version of a Terraform or OpenTofu binary, and check that it is new enough."""

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
    """A release. A suffix of the patch number (``-beta1``) is ignored."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


MINIMUM = Version(1, 1, 0)
JSON_INIT = Version(1, 9, 0)
"""The first release whose ``init`` supports ``-json``."""


def read_version(binary: Path) -> Version:
    """Run ``binary`` to get its version.

    Raises:
        EngineError: it cannot be started, or its answer is not that of Terraform or OpenTofu.
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
            raise EngineError(f'cannot run "{binary}": {process.reason_of(error)}') from error
    version = parse_version("".join(pieces))
    if version is None:
        raise EngineError(
            f'"{binary} version -json" (exit status {ended.returncode}) did not print a version; '
            "is it Terraform or OpenTofu?"
        )
    return version


def parse_version(output: str) -> Version | None:
    """Return the version in the output of ``version -json``, or None if there is none.

    OpenTofu also reports its version as ``terraform_version``.
    """
    try:
        answer = json.loads(output)
    except ValueError:
        return None
    version = answer.get("terraform_version") if isinstance(answer, dict) else None
    found = _NUMBER.match(version) if isinstance(version, str) else None
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
