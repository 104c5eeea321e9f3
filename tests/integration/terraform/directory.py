"""A directory that Terraform works in, without the daemon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A directory that Terraform works in."""

    path: Path
    terraform: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.terraform, *arguments],
            cwd=self.path,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, text: str) -> None:
        (self.path / "main.tf").write_text(text)

    def init(self) -> None:
        done = self.run("init", "-no-color")
        assert done.returncode == 0, done.stderr

    def apply(self, text: str, **environment: str) -> dict[str, Any]:
        """Apply a template; return the values in the state by address."""
        self.write(text)
        done = self.run("apply", "-auto-approve", "-no-color", **environment)
        assert done.returncode == 0, done.stderr
        return self.values()

    def plan(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.write(text)
        return self.run("plan", "-no-color", "-out=plan", "-detailed-exitcode", **environment)

    def planned(self, text: str, **environment: str) -> dict[str, Any]:
        """Plan a template; return the planned values by address."""
        done = self.plan(text, **environment)
        assert done.returncode == 2, done.stderr
        root = json.loads(self.run("show", "-json", "plan").stdout)["planned_values"]
        return _values(root["root_module"])

    def values(self) -> dict[str, Any]:
        return _values(json.loads(self.run("show", "-json").stdout)["values"]["root_module"])


def _values(module: Mapping[str, Any]) -> dict[str, Any]:
    return {resource["address"]: resource["values"] for resource in module["resources"]}
