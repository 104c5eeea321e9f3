"""The echo engine: follows a script instead of running Terraform, for tests and benchmarks.

The script is the file ``echo.json`` in the template's root. To be packed, a template also needs a
``.tf`` file, which may be empty. Every part is optional; an empty object is a build that
succeeds, costs nothing and leaves a small valid state::

    {
      "parse": {
        "variables": [{"name": "region", "required": true, "sensitive": false}],
        "parameters": [{"name": "size", "required": false, "default": "2"}],
        "tags": {"zone": "var.zone"}
      },
      "init": {"logs": [{"level": "info", "output": "ready"}], "repeat_logs": 1000},
      "plan": {"daily_cost": 5},
      "apply": {"resources": [{"type": "echo_disk", "name": "home", "daily_cost": 5}]},
      "stop": {"plan": {"daily_cost": 1}, "apply": {"error": "the disk is busy"}}
    }

The operations in ``start``, ``stop`` and ``delete`` replace the general ones for that transition.
An operation first writes its logs (``repeat_logs`` times), then waits for the interrupt
(``wait``), then fails (``error``), then succeeds. Without ``daily_cost`` a plan costs as much as
the resources of the apply. An apply passes its state to ``on_state`` before it waits or fails, as
Terraform writes its state file while it works. An apply that succeeds at once passes none, as
with the real engine. ``state`` is that state, ``null`` for none. By default the state has the
lineage of the earlier state and the next serial.
"""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db.jobs.declarations import Template, TemplateParameter, TemplateVariable
from db.jobs.resources import Resource, ResourceChange
from db.jobs.results import Timing
from db.schema.enums import LogLevel, PlannedAction, TimingStage, Transition
from provisioner.engines.port import (
    TERRAFORM_VERSION,
    Applied,
    BuildContext,
    EngineError,
    EngineInterruptedError,
    Installed,
    Plan,
)
from provisioner.host.archive import TemplateFiles
from provisioner.host.interrupt import InterruptReason

SCRIPT_NAME = "echo.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Log(_Part):
    level: LogLevel = LogLevel.INFO
    output: str


class _Resource(_Part):
    type: str
    name: str
    daily_cost: int = Field(default=0, ge=0, lt=2**31)


class _Operation(_Part):
    logs: tuple[_Log, ...] = ()
    repeat_logs: int = Field(default=1, ge=0)
    wait: bool = False
    error: str | None = None

    @property
    def takes_time(self) -> bool:
        return self.wait or self.error is not None


class _Plan(_Operation):
    daily_cost: int | None = Field(default=None, ge=0, lt=2**31)


class _Apply(_Operation):
    resources: tuple[_Resource, ...] = ()
    state: dict[str, Any] | Literal["next"] | None = "next"


class _Variable(_Part):
    name: str
    required: bool = False
    sensitive: bool = False
    description: str = ""
    type: str = "string"
    default: Any = None


class _Parameter(_Part):
    name: str
    required: bool = False
    description: str = ""
    default: str | None = None
    sensitive: bool = False


class _Parse(_Part):
    error: str | None = None
    variables: tuple[_Variable, ...] = ()
    parameters: tuple[_Parameter, ...] = ()
    tags: dict[str, str] = {}


class _Operations(_Part):
    init: _Operation | None = None
    plan: _Plan | None = None
    apply: _Apply | None = None


class _Script(_Operations):
    parse: _Parse = _Parse()
    start: _Operations = _Operations()
    stop: _Operations = _Operations()
    delete: _Operations = _Operations()

    def override(self, transition: Transition) -> _Operations:
        return {
            Transition.START: self.start,
            Transition.STOP: self.stop,
            Transition.DELETE: self.delete,
        }[transition]


class EchoEngine:
    """Runs builds from a script. It has no state; one instance may serve all threads."""

    def parse(self, files: TemplateFiles) -> Template:
        """Return the declarations in the script."""
        part = _read_script(files).parse
        if part.error is not None:
            raise EngineError(part.error)
        return Template(
            variables=tuple(TemplateVariable(**dict(found)) for found in part.variables),
            parameters=tuple(TemplateParameter(**dict(found)) for found in part.parameters),
            tags=part.tags,
        )

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        """Run the ``init`` operation."""
        script = _read_script(context.files)
        operation = script.override(context.transition).init or script.init or _Operation()
        _run(operation, context, TimingStage.INIT, None)
        return ()

    def installed(self, context: BuildContext) -> Installed:  # noqa: ARG002
        """Return nothing: a script installs no modules."""
        return Installed()

    def plan(self, context: BuildContext) -> Plan:
        """Run the ``plan`` operation and return its cost."""
        script = _read_script(context.files)
        operation = script.override(context.transition).plan or script.plan or _Plan()
        _run(operation, context, TimingStage.PLAN, None)
        applied = _apply_of(script, context.transition)
        daily_cost = operation.daily_cost
        return Plan(
            daily_cost=_cost_of(applied) if daily_cost is None else daily_cost,
            resources=_resources_of(applied),
            changes=_changes_of(applied, context),
        )

    def apply(self, context: BuildContext) -> Applied:
        """Run the ``apply`` operation and return its state and resources."""
        operation = _apply_of(_read_script(context.files), context.transition)
        state = _state(operation, context)
        if state is not None and operation.takes_time and not context.interrupt.is_set():
            # A state that cannot be stored must not end the apply.
            with suppress(Exception):
                context.on_state(state)
        _run(operation, context, TimingStage.APPLY, state)
        return Applied(state=state, resources=_resources_of(operation))


def _read_script(files: TemplateFiles) -> _Script:
    if SCRIPT_NAME not in files:
        raise EngineError(f"the template has no {SCRIPT_NAME} in its root; add one")
    return _parse(bytes(files[SCRIPT_NAME]))


# The four operations of a build read the same script, as do all builds of a template version.
@functools.lru_cache(maxsize=32)
def _parse(text: bytes) -> _Script:
    try:
        return _Script.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise EngineError(f"{SCRIPT_NAME} is not a script: {place}: {first['msg']}") from None


def _apply_of(script: _Script, transition: Transition) -> _Apply:
    return script.override(transition).apply or script.apply or _Apply()


def _resources_of(operation: _Apply) -> tuple[Resource, ...]:
    return tuple(Resource(**dict(resource)) for resource in operation.resources)


def _changes_of(operation: _Apply, context: BuildContext) -> tuple[ResourceChange, ...]:
    """Return what the apply would do to the resources in the earlier state."""
    earlier = json.loads(context.state).get("resources", []) if context.state else []
    existing = {(str(found.get("type")), str(found.get("name"))) for found in earlier}
    planned = {(found.type, found.name): found.daily_cost for found in operation.resources}
    return tuple(
        ResourceChange(
            address=f"{kind}.{name}",
            type=kind,
            name=name,
            action=_action((kind, name) in existing, (kind, name) in planned),
            daily_cost=planned.get((kind, name), 0),
        )
        for kind, name in sorted(existing | planned.keys())
    )


def _action(exists: bool, is_planned: bool) -> PlannedAction:
    if not is_planned:
        return PlannedAction.DELETE
    return PlannedAction.NO_OP if exists else PlannedAction.CREATE


def _cost_of(operation: _Apply) -> int:
    daily_cost = sum(resource.daily_cost for resource in operation.resources)
    if daily_cost >= 2**31:
        raise EngineError(f"the resources cost {daily_cost} a day, more than can be counted")
    return daily_cost


def _run(
    operation: _Operation, context: BuildContext, stage: TimingStage, state: bytes | None
) -> None:
    if context.interrupt.is_set():
        raise _interrupted(context, stage, None)
    _write_logs(operation, context)
    if operation.wait:
        raise _waited(context, stage, state)
    if operation.error is not None:
        raise EngineError(operation.error, state=state)


def _write_logs(operation: _Operation, context: BuildContext) -> None:
    for _ in range(operation.repeat_logs):
        for log in operation.logs:
            context.log(log.level, log.output)


def _waited(
    context: BuildContext, stage: TimingStage, state: bytes | None
) -> EngineInterruptedError:
    """Wait for the interrupt or the time limit; return the error that follows."""
    timeout_s = context.timeout.total_seconds()
    if context.interrupt.wait(timeout_s):
        return _interrupted(context, stage, state)
    context.interrupt.request(InterruptReason.DEADLINE)
    return EngineInterruptedError(
        f"{stage} took longer than {timeout_s:g} seconds", clean=True, state=state
    )


def _interrupted(
    context: BuildContext, stage: TimingStage, state: bytes | None
) -> EngineInterruptedError:
    return EngineInterruptedError(
        f"{stage} was interrupted ({context.interrupt.reason})", clean=True, state=state
    )


def _state(operation: _Apply, context: BuildContext) -> bytes | None:
    if operation.state is None:
        return None
    state = _next_state(operation, context) if operation.state == "next" else operation.state
    return json.dumps(state).encode()


def _next_state(operation: _Apply, context: BuildContext) -> dict[str, Any]:
    earlier = json.loads(context.state) if context.state else {}
    resources = () if context.transition is Transition.DELETE else operation.resources
    return {
        "version": 4,
        "terraform_version": TERRAFORM_VERSION,
        "serial": earlier.get("serial", 0) + 1,
        "lineage": earlier.get("lineage") or str(uuid4()),
        "outputs": {},
        "resources": [_in_state(resource) for resource in resources],
        "check_results": None,
    }


def _in_state(resource: _Resource) -> dict[str, Any]:
    return {
        "mode": "managed",
        "type": resource.type,
        "name": resource.name,
        "provider": 'provider["terraform.io/builtin/echo"]',
        "instances": [{"schema_version": 0, "attributes": {}, "sensitive_attributes": []}],
    }
