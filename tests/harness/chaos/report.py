"""What came of rounds: kept as JSON, merged, and printed as a table."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.chaos.gates import STAGES
from tests.harness.chaos.schedule import Cell

END = "end"
"""The stage under which the check after the last round is kept."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One fault in one stage, and what it did."""

    seed: int
    number: int
    fault: str
    stage: str
    hits: int
    recovered: tuple[float, ...]  #: seconds from the strike to the end of each build that was hit
    problems: tuple[str, ...] = ()
    in_flight: int = 0
    unheld: str = ""  #: why nothing was struck

    @property
    def cell(self) -> Cell:
        """The fault and the stage."""
        return self.fault, self.stage


@dataclass(kw_only=True)
class Report:
    """Rounds of one run or of several, and how their builds ended."""

    rounds: list[Round] = field(default_factory=list)
    builds: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)  #: faults, and what they lack
    seconds: float = 0.0

    @property
    def problems(self) -> Sequence[str]:
        """What did not hold, with the round that broke it."""
        return [
            f"seed {played.seed}, round {played.number}, {' in '.join(played.cell)}: {problem}"
            for played in self.rounds
            for problem in played.problems
        ]

    @property
    def played(self) -> Sequence[Round]:
        """The rounds, without the checks after the last ones."""
        return [played for played in self.rounds if played.stage != END]

    @property
    def unheld(self) -> Sequence[Round]:
        """The rounds whose builds could not be held, so that no fault struck them."""
        return [played for played in self.rounds if played.unheld]

    def hits(self) -> Counter[Cell]:
        """How many builds were hit in each cell."""
        hits: Counter[Cell] = Counter()
        for played in self.played:
            hits[played.cell] += played.hits
        return hits

    def to_json(self) -> str:
        """Return it as JSON, to be merged."""
        content = {
            "rounds": [dataclasses.asdict(played) for played in self.rounds],
            "builds": self.builds,
            "left_out": self.left_out,
            "seconds": self.seconds,
        }
        return json.dumps(content, indent=1)


def read_report(text: str) -> Report:
    """Return the report that ``to_json`` wrote."""
    content: Mapping[str, Any] = json.loads(text)
    return Report(
        rounds=[_read_round(played) for played in content["rounds"]],
        builds=Counter(content["builds"]),
        left_out=dict(content["left_out"]),
        seconds=content["seconds"],
    )


def _read_round(content: Mapping[str, Any]) -> Round:
    sequences = {name: tuple(content[name]) for name in ("recovered", "problems")}
    return Round(**{**content, **sequences})


def merge(reports: Iterable[Report]) -> Report:
    """Return one report of all rounds."""
    merged = Report()
    for report in reports:
        merged.rounds += report.rounds
        merged.builds += report.builds
        merged.left_out |= report.left_out
        merged.seconds += report.seconds
    return merged


def describe(report: Report) -> str:
    """Return everything that a reader wants to know, as Markdown."""
    ends = "\n".join(f"| {status} | {count} |" for status, count in sorted(report.builds.items()))
    left_out = "".join(f"\nLeft out: {name} ({why})." for name, why in report.left_out.items())
    return (
        f"{_matrix(report.played)}\n\n| builds that ended as | |\n| --- | ---: |\n{ends}\n\n"
        f"{_summary(report)}{left_out}"
    )


def _matrix(rounds: Sequence[Round]) -> str:
    cells: dict[str, dict[str, list[Round]]] = defaultdict(lambda: defaultdict(list))
    for played in rounds:
        cells[played.fault][played.stage].append(played)
    lines = [f"| fault | {' | '.join(STAGES)} |", f"| --- |{' ---: |' * len(STAGES)}"]
    for fault, row in sorted(cells.items()):
        lines.append(f"| {fault} | {' | '.join(_cell(row[stage]) for stage in STAGES)} |")
    return "\n".join(lines)


def _cell(rounds: Sequence[Round]) -> str:
    if not rounds:
        return ""
    times = [seconds for played in rounds for seconds in played.recovered]
    hits = sum(played.hits for played in rounds)
    if not times:
        return f"{hits}"
    return f"{hits}: {statistics.median(times):.1f} / {max(times):.1f}"


def _summary(report: Report) -> str:
    kinds = Counter(problem.partition(":")[0] for r in report.rounds for problem in r.problems)
    hits = [played.hits for played in report.played]
    named = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS)
    in_flight = sum(played.in_flight for played in report.rounds)
    others = sum(kinds.values()) - sum(kinds[kind] for kind in KINDS)
    return (
        f"{len(hits)} rounds, {sum(hits)} builds hit, {hits.count(0)} rounds hit none,"
        f" {len(report.unheld)} of them since their builds could not be held."
        f" {named}, {others} other violations. Creates in flight of a lost host or of a killed"
        f" Terraform, which no state could know of: {in_flight}."
    )


KINDS = ("lost", "doubled", "orphaned", "over budget")
"""What a problem begins with."""
