"""A short chaos: what `make chaos` plays for longer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.chaos.faults import FAULTS
from tests.harness.chaos.faults.apis import OF_APIS
from tests.harness.chaos.play import Chaos, prepared

ROUNDS = 8
# What becomes of the API is for `make chaos`: starting its processes takes long.
CELLS = [
    (name, stage)
    for name, fault in FAULTS.items()
    if fault not in OF_APIS
    for stage in fault.stages
]

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def chaos(cli_config: Path) -> Iterator[Chaos]:
    """Some rounds that were played to their end. Set SEED to play others."""
    with prepared(int(os.environ.get("SEED", "1")), cli_config, only=CELLS) as chaos:
        for _ in range(ROUNDS):
            chaos.play()
        chaos.finish()
        yield chaos


def test_no_invariant_is_broken(chaos: Chaos) -> None:
    assert chaos.report.problems == []


def test_most_faults_hit_a_build(chaos: Chaos) -> None:
    hits = [played.hits > 0 for played in chaos.report.played]
    assert sum(hits) >= 0.8 * len(hits)


def test_builds_succeed_all_the_same(chaos: Chaos) -> None:
    assert chaos.report.builds["succeeded"] > 0


def test_the_judge_names_machines_that_no_state_knows_and_those_made_twice(chaos: Chaos) -> None:
    ledger = chaos.site.cluster.ledger
    for number in range(2):
        machine = {"id": f"m{number}", "name": "twin", "workspace": "none"}
        (ledger / f"m{number}.json").write_text(json.dumps(machine))

    problems = chaos.judge.judge([])

    assert [problem.partition(":")[0] for problem in problems] == ["doubled", "orphaned"]
