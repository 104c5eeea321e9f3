"""How tests run Terraform, and one that hangs or does not listen when it is told to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.waiting import wait_until


def bare_environment(cli_config: Path, home: Path) -> dict[str, str]:
    """The environment of a Terraform that finds the providers of ``cli_config`` and asks nobody."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(cli_config),
    }


@dataclass(kw_only=True)
class MoodyTerraform:
    """Stands in front of Terraform. Its moods are files beside it."""

    path: Path

    def __post_init__(self) -> None:
        self.path.write_text(
            "#!/bin/sh\n"
            f'if [ -e {self.path}.hang-"$1" ]; then\n'
            f"  touch {self.path}.hangs\n"
            "  sleep 600 & wait\n"
            "fi\n"
            f'if [ -e {self.path}.deaf-"$1" ]; then\n'
            '  trap "" INT\n'
            '  terraform "$@"\n'
            "  exit\n"
            "fi\n"
            'exec terraform "$@"\n'
        )
        self.path.chmod(0o755)

    @contextmanager
    def hanging(self, command: str) -> Iterator[None]:
        """Hang when it comes to ``command``; an interrupt ends it."""
        with self._mood(f"hang-{command}"):
            yield
        Path(f"{self.path}.hangs").unlink(missing_ok=True)

    def wait(self) -> None:
        """Wait until it hangs."""
        wait_until(Path(f"{self.path}.hangs").exists, "Terraform to hang")

    @contextmanager
    def deaf(self, command: str) -> Iterator[None]:
        """Do not hear interrupts while it does ``command``."""
        with self._mood(f"deaf-{command}"):
            yield

    @contextmanager
    def _mood(self, name: str) -> Iterator[None]:
        mood = Path(f"{self.path}.{name}")
        mood.touch()
        try:
            yield
        finally:
            mood.unlink()
