"""Where the deployment's files are, and how they are read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.broker.secretfile import PREFIX
from worker.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
STORE_S = 60
"""What a worker may need to store its states after its Terraform processes have ended."""


def read_yaml(path: Path) -> list[Any]:
    with path.open() as stream:
        return [document for document in yaml.safe_load_all(stream) if document is not None]


def tool(name: str, hint: str) -> str:
    """Return the path of a program, or skip the test that needs it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed ({hint})")
    return path


def output_of(*command: str | Path) -> str:
    """Run a program; a failure shows all that it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings_of(names: Mapping[str, object]) -> Iterator[str]:
    """Return the settings named, as fields of ``Settings``."""
    for name in names:
        if name.startswith(PREFIX):
            yield name.removeprefix(PREFIX).lower()


def time_to_stop(values: Mapping[str, str]) -> float:
    """Return the seconds that a worker with these settings may need from SIGTERM to its end."""
    given = {name: values.get(f"{PREFIX}{name.upper()}") for name in Settings.model_fields}
    times = [
        float(given[name] or Settings.model_fields[name].default)
        for name in ("drain_seconds", "interrupt_grace_seconds")
    ]
    return sum(times) + STORE_S
