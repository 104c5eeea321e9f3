"""Measure how long each resource took, from the pairs of messages around each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from db.jobs.results import Timing
from db.schema.enums import TimingStage
from provisioner.engines.terraform.messages import Message

_STARTS = {"apply_start": "apply", "provision_start": "provision", "refresh_start": "refresh"}
_ENDS = {
    "apply_complete": "apply",
    "apply_errored": "apply",
    "provision_complete": "provision",
    "provision_errored": "provision",
    "refresh_complete": "refresh",
}
# Only the messages of an apply name their action.
_ACTIONS = {"provision": "provision", "refresh": "state refresh"}

_Key = tuple[str, str, str, str]


@dataclass(kw_only=True)
class TimingLog:
    """Collects the timings of one stage. A step without an end message is left out."""

    stage: TimingStage
    _started: dict[_Key, datetime] = field(default_factory=dict)
    _timings: list[Timing] = field(default_factory=list)

    def add(self, message: Message) -> None:
        """Record ``message`` if it starts or ends a step."""
        at = message.timestamp or datetime.now(UTC)
        if message.type in _STARTS:
            self._started.setdefault(_key(_STARTS[message.type], message), at)
        elif message.type in _ENDS:
            key = _key(_ENDS[message.type], message)
            started_at = self._started.pop(key, None)
            if started_at is not None:
                self._timings.append(self._timing(key, started_at, at))

    def finished(self, started_at: datetime, ended_at: datetime) -> tuple[Timing, ...]:
        """Return the timing of the whole stage, then those of its steps."""
        whole = Timing(
            stage=self.stage,
            source="provisionerd",
            action="terraform",
            resource=f"coder_stage_{self.stage}",
            started_at=started_at,
            ended_at=max(started_at, ended_at),
        )
        return (whole, *self._timings)

    def _timing(self, key: _Key, started_at: datetime, ended_at: datetime) -> Timing:
        _kind, resource, provider, action = key
        return Timing(
            stage=self.stage,
            source=provider,
            action=action,
            resource=resource,
            started_at=started_at,
            ended_at=max(started_at, ended_at),
        )


def _key(kind: str, message: Message) -> _Key:
    return (kind, message.resource, message.provider, message.action or _ACTIONS.get(kind, kind))
