"""``make bench``: measure the main operations, and what they are compared with.

    make bench                     all benches (about ten minutes on two cores)
    make bench BENCH=quota         one bench
    python -m bench.run --output json overhead pickup

Both sides of each comparison alternate within one run; a ratio is the median over the pairs.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context

import click
from rich.console import Console
from rich.table import Table

from bench.measure import Result
from bench.services import open_services

BENCHES = (
    "overhead",
    "parallel",
    "large",
    "imports",
    "cold",
    "sandbox",
    "sealing",
    "throughput",
    "rivals",
    "pickup",
    "follow",
    "followers",
    "enqueue",
    "claim",
    "quota",
    "logs",
    "start",
    "memory",
    "reads",
    "api",
    "scrape",
    "sizing",
    "scale",
    "idle",
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHES))
@click.option("--rounds", type=int, help="How many pairs to measure, if the bench uses pairs.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table")
def main(names: tuple[str, ...], rounds: int | None, output: str) -> None:
    """Run the benches NAMES, or all benches."""
    console = Console(stderr=True, highlight=False)
    results: list[Result] = []
    # A separate process for each bench: the imports, pools and memory of one must not affect the
    # next, and a Celery application keeps its connections to the first Redis.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for name in names or BENCHES:
            started = time.perf_counter()
            console.print(f"{name} ...", end=" ")
            results += processes.submit(_measure, name, rounds).result()
            console.print(f"{time.perf_counter() - started:.0f} s")
    if output == "json":
        click.echo(json.dumps([asdict(result) for result in results], indent=2))
    else:
        Console(width=160).print(_table(results))
    sys.exit(0 if all(result.reached is not False for result in results) else 1)


def _measure(name: str, rounds: int | None) -> list[Result]:
    module = importlib.import_module(f"bench.benches.{name}")
    # Separate servers too: the rows of one bench must not affect another.
    with open_services() as services:
        results: list[Result] = module.run(services, **({"rounds": rounds} if rounds else {}))
        return results


def _table(results: list[Result]) -> Table:
    table = Table(show_edge=False)
    for column in ("bench", "what", "ours", "theirs", "ratio", "reach", "aim", "note"):
        table.add_column(column, overflow="fold")
    for result in results:
        table.add_row(
            result.bench,
            result.what,
            f"{result.ours:,.3g} {result.unit}",
            "" if result.theirs is None else f"{result.theirs:,.3g} {result.unit}",
            "" if result.ratio is None else f"{result.ratio:.2f}",
            _verdict(result.reach, result.reached),
            _verdict(result.aim, result.aimed),
            result.note,
        )
    return table


def _verdict(test: str, holds: bool | None) -> str:
    return "" if holds is None else f"{test} {'yes' if holds else 'NO'}"


if __name__ == "__main__":
    main()
