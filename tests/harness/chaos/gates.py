"""Gates that hold builds in a stage until they are opened.

A gate is open while its file exists. Whatever comes to it adds a line to ``FILE.reached``. In
``init`` and ``plan`` a program in Terraform's place waits, in ``apply`` a command of the template
``gated``, elsewhere the worker itself, at a fault point (see ``db.faults``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.schema.enums import Stage

PENDING = "pending"
FINISH = "finish"
STAGES = (
    PENDING,
    Stage.SET_UP.value,
    Stage.INIT.value,
    Stage.PLAN.value,
    Stage.COMMIT_QUOTA.value,
    Stage.APPLY.value,
    FINISH,
)
TERRAFORM_STAGES = (Stage.INIT.value, Stage.PLAN.value, Stage.APPLY.value)
"""The stages in which Terraform runs while a build is held."""

POINTS: Mapping[str, str] = {
    PENDING: "claim.begin",
    Stage.SET_UP.value: "set_up.begin",
    Stage.COMMIT_QUOTA.value: "commit_quota.begin",
    FINISH: "finish.begin",
}
TEMPLATE = "template"

PROGRAM = """\
#!/bin/sh
gate={folder}/$1
case $1 in init|plan)
  echo >>"$gate.reached"
  while [ ! -e "$gate" ]; do sleep 0.05 & wait; done
esac
exec terraform "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """The gates of all workers, and the one of the template; a folder for each."""

    root: Path

    @property
    def of_template(self) -> Path:
        """The gate that applies come to: the variable ``gate`` of the template."""
        return self.root / TEMPLATE / Stage.APPLY.value

    def make_for_template(self) -> None:
        """Make the gate of the template, open."""
        _make_folder(self.of_template.parent)
        self.of_template.touch()
        _forget_reached(self.of_template)

    def settings_for(self, worker: str) -> Mapping[str, Any]:
        """Make the gates of a worker if it has none; return the settings that lead it to them."""
        folder = self.root / worker
        program = folder / "terraform"
        if not folder.exists():
            _make_folder(folder)
            for stage in STAGES:
                (folder / stage).touch()
                _forget_reached(folder / stage)
            program.write_text(PROGRAM.format(folder=folder))
            program.chmod(0o755)
        faults = ",".join(f"{point}=hold:{folder / stage}" for stage, point in POINTS.items())
        return {"faults": faults, "terraform_binary": str(program)}

    def close(self, stage: str) -> None:
        """Hold whatever comes to the stage from now on."""
        for gate in self._of(stage):
            gate.unlink(missing_ok=True)
            _forget_reached(gate)

    def open(self, stage: str) -> None:
        """Let go what is held in the stage."""
        for gate in self._of(stage):
            gate.touch()

    def holders(self, stage: str) -> Mapping[str, int]:
        """How much each worker (in apply: the template) holds since the gates were closed."""
        return {gate.parent.name: _lines(_reached(gate)) for gate in self._of(stage)}

    def held(self, stage: str) -> int:
        """How many have come to the stage since its gates were closed."""
        return sum(self.holders(stage).values())

    def _of(self, stage: str) -> Iterator[Path]:
        if stage == Stage.APPLY.value:
            yield self.of_template
        else:
            folders = sorted(self.root.iterdir())
            yield from (folder / stage for folder in folders if folder.name != TEMPLATE)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)  # builds of a worker that root runs have users of their own


def _forget_reached(gate: Path) -> None:
    reached = _reached(gate)
    reached.unlink(missing_ok=True)
    reached.touch()
    reached.chmod(0o666)


def _reached(gate: Path) -> Path:
    return gate.with_name(f"{gate.name}.reached")


def _lines(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.read_bytes().count(b"\n")
    return 0
