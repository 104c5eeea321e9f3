"""Run builds under random faults, and print the results.

    make chaos ROUNDS=200 SEED=1

Exits with 1 and prints the seed if an invariant does not hold (see ``tests.harness.chaos``).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click

from db.engine import open_database
from db.schema.migrate import migrate
from tests.harness.chaos import Chaos, Strike, Verdict, prepared
from tests.harness.databases import tcp_url_of
from worker.embedded import start_embedded


def matrix(strikes: list[Strike]) -> str:
    """Return the table of faults and stages, as Markdown."""
    cells: dict[tuple[str, str], list[Strike]] = defaultdict(list)
    for strike in strikes:
        cells[strike.fault, strike.stage].append(strike)
    lines = [
        "| fault | stage | tries | builds hit | lost | longest until it ran again or ended |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for (fault, stage), found in sorted(cells.items()):
        hit = sum(len(strike.hit) for strike in found)
        times = [seconds for strike in found for seconds in strike.recovered.values()]
        longest = f"{max(times):.1f} s" if times else "-"
        lost = hit - len(times)
        lines.append(f"| {fault} | {stage} | {len(found)} | {hit} | {lost} | {longest} |")
    return "\n".join(lines)


def report(chaos: Chaos, verdict: Verdict, *, seconds: float) -> str:
    """Return the report of a run, as Markdown."""
    counts = "\n".join(f"| {status} | {count} |" for status, count in verdict.builds.items())
    return (
        f"{matrix(chaos.strikes)}\n\n| builds that ended as | |\n| --- | ---: |\n{counts}\n\n"
        f"{len(chaos.strikes)} faults in {seconds:.0f} seconds. Violations:"
        f" {len(verdict.problems)}. Machines whose create was in flight when their Terraform"
        f" was killed, so that no state could record them: {verdict.in_flight}."
    )


@click.command()
@click.option("--rounds", default=200, envvar="ROUNDS", show_default=True)
@click.option("--seed", default=1, envvar="SEED", show_default=True)
def main(rounds: int, seed: int) -> None:
    """Run ROUNDS rounds with SEED and print the matrix."""
    begun = time.monotonic()

    def show_progress(number: int) -> None:
        end = "\r" if sys.stderr.isatty() and number < rounds else "\n"
        if end == "\r" or number % 10 == 0 or number == rounds:
            seconds = time.monotonic() - begun
            sys.stderr.write(f"round {number} of {rounds}, {seconds:.0f} s{end}")
            sys.stderr.flush()

    data_dir = Path(tempfile.mkdtemp(prefix="pd-pg-"))
    data_dir.chmod(0o711)
    try:
        with start_embedded(data_dir, redis=False, tcp=True) as embedded:
            database = open_database(tcp_url_of(embedded, "postgres"))
            migrate(database.engine)
            database.dispose()
            with prepared(seed, embedded, "postgres") as chaos:
                chaos.play(rounds, show_progress)
                verdict = chaos.judge()
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
    print(report(chaos, verdict, seconds=time.monotonic() - begun))
    if verdict.problems:
        print(f"\nSEED={seed} ROUNDS={rounds} broke invariants:", *verdict.problems, sep="\n- ")
        sys.exit(1)


if __name__ == "__main__":
    main()
