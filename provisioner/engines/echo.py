"""The echo engine: plays a script instead of running Terraform, for tests and benchmarks.

The script is the file ``echo.json`` in the template's root. An archive of it needs a ``.tf``
file beside it, which may be empty. Every part may be left out; an empty object is a build that
succeeds, costs nothing and leaves a small valid state::

    {
      "parse": {
        "variables": [{"name": "region", "required": true, "sensitive": false}],
        "parameters": [{"name": "size", "required": false, "default": "2"}]
      },
      "init": {"logs": [{"level": "info", "output": "ready"}], "repeat_logs": 1000},
      "plan": {"daily_cost": 5},
      "apply": {"resources": [{"type": "echo_disk", "name": "home", "daily_cost": 5}]},
      "stop": {"plan": {"daily_cost": 1}, "apply": {"error": "the disk is busy"}}
    }

``start``, ``stop`` and ``delete`` hold operations that stand in place of the general ones for
that transition. An operation first writes its logs (``repeat_logs`` times), then waits for the
interrupt (``wait``), then fails (``error``), then succeeds. Without ``daily_cost`` a plan costs
what the resources of the apply cost. An apply hands its state to ``on_state`` before it waits or
fails, as Terraform writes its state file while it works; one that succeeds at once has no time
for it, and no checkpoint either with the real engine. ``state`` is that state, ``null`` for
none; when it is left out, the state has the earlier one's lineage and the next serial.
"""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from db.jobs.results import Timing
from db.schema.enums import LogLevel, TimingStage, Transition
from provisioner.engines.port import (
    TERRAFORM_VERSION,
    Applied,
    BuildContext,
    EngineError,
    EngineInterruptedError,
    Plan,
    Resource,
    Template,
    TemplateParameter,
    TemplateVariable,
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


class _Parse(_Part):
    error: str | None = None
    variables: tuple[_Variable, ...] = ()
    parameters: tuple[_Parameter, ...] = ()


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
    """The engine port, played from a script. Holds nothing; one may serve all threads."""

    def parse(self, files: TemplateFiles) -> Template:
        """Return what the script says that the template declares."""
        part = _read_script(files).parse
        if part.error is not None:
            raise EngineError(part.error)
        return Template(
            variables=tuple(TemplateVariable(**dict(found)) for found in part.variables),
            parameters=tuple(TemplateParameter(**dict(found)) for found in part.parameters),
        )

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        """Play the ``init`` operation."""
        script = _read_script(context.files)
        operation = script.override(context.transition).init or script.init or _Operation()
        _play(operation, context, TimingStage.INIT, None)
        return ()

    def plan(self, context: BuildContext) -> Plan:
        """Play the ``plan`` operation and return its cost."""
        script = _read_script(context.files)
        operation = script.override(context.transition).plan or script.plan or _Plan()
        _play(operation, context, TimingStage.PLAN, None)
        if operation.daily_cost is not None:
            return Plan(daily_cost=operation.daily_cost)
        resources = _apply_of(script, context.transition).resources
        daily_cost = sum(resource.daily_cost for resource in resources)
        if daily_cost >= 2**31:
            raise EngineError(f"the resources cost {daily_cost} a day, more than can be counted")
        return Plan(daily_cost=daily_cost)

    def apply(self, context: BuildContext) -> Applied:
        """Play the ``apply`` operation and return its state and resources."""
        operation = _apply_of(_read_script(context.files), context.transition)
        state = _state(operation, context)
        lasts = operation.wait or operation.error is not None
        if state is not None and lasts and not context.interrupt.is_set():
            # One that cannot be stored must not end the apply.
            with suppress(Exception):
                context.on_state(state)
        _play(operation, context, TimingStage.APPLY, state)
        resources = tuple(Resource(**dict(resource)) for resource in operation.resources)
        return Applied(state=state, resources=resources)


def _read_script(files: TemplateFiles) -> _Script:
    if SCRIPT_NAME not in files:
        raise EngineError(f"the template has no {SCRIPT_NAME} in its root; add one")
    return _parse(bytes(files[SCRIPT_NAME]))


# The four operations of a build read the same script, and so do all builds of a template version.
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


def _play(
    operation: _Operation, context: BuildContext, stage: TimingStage, state: bytes | None
) -> None:
    if context.interrupt.is_set():
        raise _interrupted(context, stage, None)
    for _ in range(operation.repeat_logs):
        for log in operation.logs:
            context.log(log.level, log.output)
    if operation.wait:
        timeout_s = context.timeout.total_seconds()
        if context.interrupt.wait(timeout_s):
            raise _interrupted(context, stage, state)
        context.interrupt.request(InterruptReason.DEADLINE)
        raise EngineInterruptedError(
            f"{stage} took longer than {timeout_s:g} seconds", clean=True, state=state
        )
    if operation.error is not None:
        raise EngineError(operation.error, state=state)


def _interrupted(
    context: BuildContext, stage: TimingStage, state: bytes | None
) -> EngineInterruptedError:
    return EngineInterruptedError(
        f"{stage} was interrupted ({context.interrupt.reason})", clean=True, state=state
    )


def _state(operation: _Apply, context: BuildContext) -> bytes | None:
    if operation.state is None:
        return None
    if operation.state != "next":
        return json.dumps(operation.state).encode()
    earlier = json.loads(context.state) if context.state else {}
    is_gone = context.transition is Transition.DELETE
    return json.dumps(
        {
            "version": 4,
            "terraform_version": TERRAFORM_VERSION,
            "serial": earlier.get("serial", 0) + 1,
            "lineage": earlier.get("lineage") or str(uuid4()),
            "outputs": {},
            "resources": [] if is_gone else [_in_state(found) for found in operation.resources],
            "check_results": None,
        }
    ).encode()


def _in_state(resource: _Resource) -> dict[str, Any]:
    return {
        "mode": "managed",
        "type": resource.type,
        "name": resource.name,
        "provider": 'provider["terraform.io/builtin/echo"]',
        "instances": [{"schema_version": 0, "attributes": {}, "sensitive_attributes": []}],
    }
