"""How long resources took, from pairs of messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from db.jobs.results import Timing
from db.schema.enums import LogLevel, TimingStage
from provisioner.engines.terraform.messages import Message
from provisioner.engines.terraform.timings import TimingLog

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def message(kind: str, at_s: float, *, resource: str = "a.b", action: str = "") -> Message:
    return Message(
        level=LogLevel.INFO,
        text="",
        type=kind,
        timestamp=START + timedelta(seconds=at_s),
        resource=resource,
        provider="cloud",
        action=action,
    )


def steps(*messages: Message) -> list[tuple[str, str, float]]:
    log = TimingLog(stage=TimingStage.APPLY)
    for each in messages:
        log.add(each)
    _whole, *rest = log.finished(START, START)
    return [(t.resource, t.action, (t.ended_at - t.started_at).total_seconds()) for t in rest]


@pytest.mark.parametrize(
    ("start", "end", "action", "expected"),
    [
        ("apply_start", "apply_complete", "create", "create"),
        ("apply_start", "apply_errored", "delete", "delete"),
        ("provision_start", "provision_complete", "", "provision"),
        ("provision_start", "provision_errored", "", "provision"),
        ("refresh_start", "refresh_complete", "", "state refresh"),
    ],
)
def test_a_start_and_its_end_make_a_timing(
    start: str, end: str, action: str, expected: str
) -> None:
    assert steps(message(start, 1, action=action), message(end, 3, action=action)) == [
        ("a.b", expected, 2.0)
    ]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([message("apply_start", 1)], id="no end"),
        pytest.param([message("apply_complete", 1)], id="no start"),
        pytest.param(
            [message("apply_start", 1), message("apply_complete", 2, resource="other")],
            id="another resource",
        ),
        pytest.param(
            [message("apply_start", 1), message("refresh_complete", 2)], id="another kind"
        ),
        pytest.param([message("planned_change", 1)], id="no step"),
    ],
)
def test_what_has_no_counterpart_is_left_out(messages: list[Message]) -> None:
    assert steps(*messages) == []


def test_resources_that_overlap_are_kept_apart() -> None:
    assert steps(
        message("apply_start", 1, resource="a"),
        message("apply_start", 2, resource="b"),
        message("apply_complete", 5, resource="a"),
        message("apply_complete", 9, resource="b"),
    ) == [("a", "apply", 4.0), ("b", "apply", 7.0)]


def test_an_end_before_its_start_takes_no_time() -> None:
    assert steps(message("apply_start", 5), message("apply_complete", 1)) == [("a.b", "apply", 0)]


def test_the_whole_stage_comes_first() -> None:
    end = START + timedelta(seconds=9)
    assert TimingLog(stage=TimingStage.PLAN).finished(START, end) == (
        Timing(
            stage=TimingStage.PLAN,
            source="provisionerd",
            action="terraform",
            resource="coder_stage_plan",
            started_at=START,
            ended_at=end,
        ),
    )
