"""Play chaos in slices, merge them, and print what came of it.

    make chaos ROUNDS=200 SEED=1
    python -m bench.chaos play --seed 2 --minutes 8 --after one.json --output json > two.json
    python -m bench.chaos merge one.json two.json

Exits with 1 and names the rounds if an invariant does not hold (see ``tests.harness.chaos``).
"""

from __future__ import annotations

import base64
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from db.sealing.keyring import KEY_BYTES, VARIABLE
from tests.harness.chaos.gates import STAGES
from tests.harness.chaos.play import Chaos, prepared
from tests.harness.chaos.report import Report, Round, describe, merge, read_report
from tests.harness.chaos.schedule import Cell
from tests.harness.ledger import install_ledger

FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Kill workers and servers while builds run, and check that nothing is lost."""


@main.command()
@click.option("--rounds", default=200, envvar="ROUNDS", show_default=True)
@click.option("--seed", default=1, envvar="SEED", show_default=True)
@click.option("--minutes", default=0.0, help="Start no round after that many minutes; 0: no limit.")
@click.option("--after", multiple=True, type=FILES, help="JSON of an earlier slice; repeatable.")
@click.option("--only", multiple=True, help="A cell to play, as 'FAULT:STAGE'; repeatable.")
@click.option("--sealed", is_flag=True, help="Seal the secrets in the database.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def play(  # noqa: PLR0917 - click passes each option by its name
    rounds: int,
    seed: int,
    minutes: float,
    after: Sequence[Path],
    only: Sequence[str],
    sealed: bool,
    output: str,
) -> None:
    """Play ROUNDS rounds with SEED, the cells with the fewest hits first."""
    # Everything that was started ends on the way out.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    earlier = merge(read_report(path.read_text()) for path in after)
    end = time.monotonic() + minutes * 60 if minutes else float("inf")
    if sealed:
        os.environ[VARIABLE] = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    with (
        tempfile.TemporaryDirectory(prefix="pd-mirror-") as mirror,
        prepared(
            seed, install_ledger(Path(mirror)), hits=earlier.hits(), only=[_cell(o) for o in only]
        ) as chaos,
    ):
        _play(chaos, rounds, end)
        chaos.finish()
    _print(chaos.report, output)


@main.command(name="merge")
@click.argument("slices", nargs=-1, required=True, type=FILES)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def merge_slices(slices: Sequence[Path], output: str) -> None:
    """Print one report of all SLICES, files of `play --output json`."""
    _print(merge(read_report(path.read_text()) for path in slices), output)


def _play(chaos: Chaos, rounds: int, end: float) -> None:
    begun = time.monotonic()
    for number in range(1, rounds + 1):
        if time.monotonic() > end:
            break
        played = chaos.play()
        seconds = time.monotonic() - begun
        sys.stderr.write(f"round {number} of {rounds}, {seconds:.0f} s: {_line(played)}\n")
        sys.stderr.flush()


def _line(played: Round) -> str:
    found = "".join(f"; {problem}" for problem in (played.unheld, *played.problems) if problem)
    return f"{played.fault} in {played.stage} hit {played.hits}{found}"


def _cell(name: str) -> Cell:
    fault, _, stage = name.rpartition(":")
    if stage not in STAGES:
        raise click.BadParameter(f"{name!r} is not FAULT:STAGE; the stages are {', '.join(STAGES)}")
    return fault, stage


def _print(report: Report, output: str) -> None:
    print(report.to_json() if output == "json" else describe(report))
    if report.problems:
        print("\nThis did not hold:", *report.problems, sep="\n- ", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
