"""Builds with a real Terraform or with a fake one, as the tests of this folder share them."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from db.jobs.states import State, read_state
from db.schema.enums import LogLevel
from provisioner.engines.port import Applied, BuildContext
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.state import instances_of
from provisioner.host.interrupt import InterruptReason

Template = str | Mapping[str, str]
Spawn = Callable[..., subprocess.Popen[str]]


class Build:
    """One build in a directory of its own, and what it said."""

    def __init__(self, binary: Path, directory: Path, context: BuildContext) -> None:
        self.lines: list[tuple[LogLevel, str]] = []
        self.states: list[bytes] = []
        self.on_line: Callable[[str], None] = lambda _text: None
        self.engine = TerraformEngine(binary, grace=timedelta(seconds=30))
        self.context = dataclasses.replace(
            context, directory=directory, log=self._take, on_state=self.states.append
        )

    @property
    def text(self) -> str:
        return "\n".join(text for _level, text in self.lines)

    def apply(self) -> bytes:
        """Initialize, plan and apply; return the state that it left."""
        state = self.plan_and_apply().state
        assert state is not None
        return state

    def plan_and_apply(self) -> Applied:
        self.engine.init(self.context)
        self.engine.plan(self.context)
        return self.engine.apply(self.context)

    def interrupt_on(self, word: str, reason: InterruptReason = InterruptReason.CANCEL) -> None:
        def interrupt(text: str) -> None:
            if word in text:
                self.context.interrupt.request(reason)

        self.on_line = interrupt

    def _take(self, level: LogLevel, text: str) -> None:
        self.lines.append((level, text))
        self.on_line(text)


class MakeBuild(Protocol):
    """Makes a build of a template's main.tf or files; ``facts`` are of its context."""

    def __call__(self, template: Template, binary: Path = ..., **facts: Any) -> Build: ...


class MakeCached(Protocol):
    """Makes builds that share a cache; ``config`` is a CLI configuration."""

    def __call__(self, template: Template, *, config: Path = ..., **facts: Any) -> Build: ...


class MakeFake(Protocol):
    """Makes a Terraform that does for each command what a script says."""

    def __call__(self, *, apply: str = ..., init: str = ..., version: str = ...) -> Path: ...


def chained(first: str, second: str, command: str) -> str:
    """Return a template of two resources, of which the second runs a command when it is made."""
    return f"""
resource "terraform_data" "{first}" {{}}
resource "terraform_data" "{second}" {{
  depends_on = [terraform_data.{first}]
  provisioner "local-exec" {{
    command = "{command}"
  }}
}}
"""


def state_of(content: bytes | None) -> State:
    """Return a state that must be there and be one."""
    found = read_state(content)
    assert found is not None
    return found


def names_in(content: bytes | None) -> set[str]:
    """Return the names of the resources in a state."""
    assert content is not None
    found = instances_of(content)
    assert found is not None
    return {instance.name for instance in found}
