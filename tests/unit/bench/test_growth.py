"""The arithmetic behind the tables of docs/scale.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.costs import Costs, described, read_costs
from bench.growth import (
    BEGIN,
    END,
    HEAVY,
    LINES,
    SIZES,
    USUAL,
    Line,
    Need,
    figure,
    need,
    put_between,
    report,
    seen,
    with_unit,
)

ONES = Costs(**dict.fromkeys(described(), 1.0))


def measured(**changes: float) -> list[dict[str, object]]:
    """What a bench run prints, a cost of 1 for everything but the changes."""
    return [
        {"bench": "scale", "what": what, "unit": unit, "ours": changes.get(name, 1.0)}
        for name, (what, unit) in described().items()
    ]


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        pytest.param(lambda n: n.running, 800, id="builds at once"),
        pytest.param(lambda n: n.builds, 800 / 90, id="builds per second"),
        pytest.param(lambda n: n.connections, 100, id="connections"),
        pytest.param(lambda n: n.cores["leases"], 100 / 3 / 1000, id="a renewal every three s"),
        pytest.param(lambda n: n.cores["watchers"], 400 / 1000, id="a look every two seconds"),
        pytest.param(
            lambda n: n.wal["states"], 800 / 90 * 10 * 0.1 / 1000, id="checkpoints of 0.1 MB"
        ),
        pytest.param(
            lambda n: n.lines_day, 800 / 90 * 500 * 86_400 / 4, id="a day has a quarter of the peak"
        ),
    ],
)
def test_100_workers_need_what_their_load_says_times_what_it_costs(
    read: Callable[[Need], float], expected: float
) -> None:
    assert read(need(ONES, USUAL, 100)) == pytest.approx(expected)


def test_the_cost_of_builds_grows_with_the_workers() -> None:
    few, many = need(ONES, USUAL, 10), need(ONES, USUAL, 1_000)

    assert many.cores["builds"] == pytest.approx(100 * few.cores["builds"])


def test_the_cost_of_looking_at_all_workers_grows_with_their_square() -> None:
    looking = replace(ONES, idle_ms=0, idle_growth_ms=1)

    few, many = need(looking, USUAL, 10), need(looking, USUAL, 1_000)

    chores = "chores of workers"
    assert many.cores[chores] == pytest.approx(10_000 * few.cores[chores])


@pytest.mark.parametrize("part", ["chores of workers", "leases", "watchers"])
def test_a_heavier_load_does_not_cost_what_has_no_part_in_it(part: str) -> None:
    assert need(ONES, HEAVY, 100).cores[part] == need(ONES, USUAL, 100).cores[part]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0099, "< 0.01"),
        (0.0123, "0.012"),
        (1.26, "1.3"),
        (99, "99"),
        (99.6, "100"),
        (123, "120"),
        (995, "1,000"),
        (12_345, "12,000"),
    ],
)
def test_a_figure_has_two_digits_that_count(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_the_costs_of_a_run_are_read_by_what_they_are() -> None:
    assert read_costs(measured(build_ms=3.5)).build_ms == 3.5


def test_a_cost_that_was_not_measured_is_named() -> None:
    what, _ = described()["build_ms"]
    results = [row for row in measured() if row["what"] != what]

    with pytest.raises(ValueError, match=what):
        read_costs(results)


def test_what_one_server_does_not_do_any_more_is_bold() -> None:
    page = "\n".join(report(replace(ONES, busy_connections=13), [USUAL]))

    row = "| connections, all slots in use | 130 | **1,300** | **13,000** |"
    assert row in page


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.what)
def test_every_line_of_the_table_says_something_of_each_size(line: Line) -> None:
    needs: list[Need] = [need(ONES, USUAL, size) for size in SIZES]

    assert all(line.show(entry) > 0 for entry in needs)


@pytest.mark.parametrize(
    ("unit", "shown"),
    [("1/min", "50/min"), ("ms", "50 ms"), ("", "50")],
    ids=["rate", "ms", "none"],
)
def test_a_rate_is_shown_as_one(unit: str, shown: str) -> None:
    assert with_unit(50, unit) == shown


def test_what_is_no_cost_is_listed_as_it_was_seen() -> None:
    other = {"bench": "scale", "what": "500 idle workers: PostgreSQL", "unit": "%", "ours": 9.5}

    rows = [line for line in seen([*measured(), other]) if "idle workers" in line]

    assert rows == ["| 500 idle workers: PostgreSQL | 9.5 % |"]


def test_the_tables_of_a_page_are_replaced_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert put_between(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["", BEGIN, END], ids=["no mark", "no end", "no begin"])
def test_a_page_without_both_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="must have the lines"):
        put_between(page, "new")
