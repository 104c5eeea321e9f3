"""Slices of chaos: which cell is next, and what a merged report says."""

from __future__ import annotations

import random
from collections import Counter

from tests.harness.chaos.report import Report, Round, describe, merge, read_report
from tests.harness.chaos.schedule import Schedule

CELLS = [("cancel", "plan"), ("cancel", "apply"), ("SIGTERM", "plan")]


def played(**facts: object) -> Round:
    given = {
        "seed": 1, "number": 7, "fault": "cancel", "stage": "plan", "hits": 2,
        "recovered": (1.0, 3.0), **facts,
    }  # fmt: skip
    return Round(**given)  # type: ignore[arg-type]


def test_the_cell_with_the_fewest_hits_is_next() -> None:
    hits = Counter({CELLS[0]: 5, CELLS[1]: 1, CELLS[2]: 2})
    assert Schedule(cells=CELLS, random=random.Random(1), hits=hits).next() == CELLS[1]


def test_rounds_that_hit_nothing_do_not_keep_the_schedule_in_one_cell() -> None:
    schedule = Schedule(cells=CELLS, random=random.Random(1))
    chosen = set()
    for _ in CELLS:
        chosen.add(cell := schedule.next())
        schedule.note(cell, hits=0)
    assert chosen == set(CELLS)


def test_a_report_survives_json() -> None:
    report = Report(rounds=[played()], builds=Counter(failed=1), left_out={"a": "b"}, seconds=2)
    assert read_report(report.to_json()) == report


def test_merged_reports_add_up() -> None:
    one = Report(rounds=[played()], builds=Counter(succeeded=2), seconds=1)
    two = Report(rounds=[played(seed=2)], builds=Counter(succeeded=3), seconds=2)

    merged = merge([one, two])

    assert (merged.hits(), merged.builds, merged.seconds) == (
        Counter({("cancel", "plan"): 4}),
        Counter(succeeded=5),
        3,
    )


def test_a_cell_says_hits_and_the_median_and_longest_recovery() -> None:
    report = Report(rounds=[played(), played(hits=1, recovered=(8.0,))])
    assert "| cancel |  |  |  | 3: 3.0 / 8.0 |" in describe(report)


def test_a_problem_names_the_round_that_broke_it() -> None:
    report = Report(rounds=[played(problems=("doubled: 2 machines",))])
    assert report.problems == ["seed 1, round 7, cancel in plan: doubled: 2 machines"]


def test_each_kind_of_violation_is_counted() -> None:
    report = Report(rounds=[played(problems=("doubled: 2 machines", "a traceback: x"))])
    assert "0 lost, 1 doubled, 0 orphaned, 0 over budget, 1 other violations" in describe(report)


def test_a_round_whose_builds_could_not_be_held_is_counted_and_no_violation() -> None:
    report = Report(rounds=[played(hits=0, recovered=(), unheld="they wait in init")])
    assert "1 of them since their builds could not be held" in describe(report)
    assert report.problems == []
