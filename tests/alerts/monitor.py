"""A Prometheus with the hurried rules, and which of its alerts fired when."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import yaml

from tests.alerts.rules import hurried_rules
from tests.harness.waiting import wait_until
from worker.process.children import free_address

LOOK_S = 0.5


@dataclass(kw_only=True)
class Monitor:
    """Looks at the alerts twice a second, and notes when each began and ended to fire."""

    directory: Path
    address: str
    changes: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

    def scrape(self, job: str, addresses: Sequence[str]) -> None:
        """Let Prometheus scrape these, and no others, under the job's shipped name."""
        path = self.directory / f"{job}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps([{"targets": list(addresses)}]))
        partial.rename(path)

    def knows(self, address: str) -> bool:
        """Return whether it was scraped twice: an increase needs a value from before."""
        query = quote(f'count_over_time(up{{instance="{address}"}}[30s])')
        with urlopen(f"http://{self.address}/api/v1/query?query={query}", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        return any(float(sample["value"][1]) >= 2 for sample in found)

    def fires(self, alert: str) -> bool:
        """Return whether the alert fires now."""
        changes = self.changes.get(alert)
        return bool(changes and changes[-1][1])

    def changed(self, alert: str, *, to: bool, since: float) -> float | None:
        """Return the seconds from ``since`` to when the alert first was so; None if never."""
        changes = self.changes.get(alert, [(0.0, False)])
        before = [state for at, state in changes if at <= since]
        if before and before[-1] is to:
            return 0.0
        return next((at - since for at, state in changes if at > since and state is to), None)

    def watch(self) -> None:
        """Note changes until the monitor is stopped."""
        while not self.stopping.wait(LOOK_S):
            with suppress(OSError, ValueError):
                self.look()

    def look(self) -> None:
        """Note what fires now."""
        with urlopen(f"http://{self.address}/api/v1/alerts", timeout=5) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        firing = {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}
        for name in firing | self.changes.keys():
            if self.fires(name) is not (name in firing):
                self.changes.setdefault(name, []).append((time.monotonic(), name in firing))


def configuration(directory: Path) -> dict[str, object]:
    """Return Prometheus's configuration: the shipped job names, and targets by file."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(directory / "rules.yaml")],
        "scrape_configs": [
            {
                "job_name": job,
                "file_sd_configs": [
                    {"files": [str(directory / f"{job}.json")], "refresh_interval": "1s"}
                ],
            }
            for job in ("provisionerd-worker", "provisionerd-exporter", "provisionerd-api")
        ],
    }


@contextmanager
def running_prometheus(directory: Path) -> Iterator[Monitor]:
    """A Prometheus that runs while the block does."""
    binary = shutil.which("prometheus")
    assert binary is not None, "Debian's package is called prometheus"
    directory.mkdir()
    (directory / "rules.yaml").write_text(yaml.safe_dump(hurried_rules()))
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration(directory)))
    address = free_address()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    monitor = Monitor(directory=directory, address=address)
    try:
        wait_until(lambda: _is_ready(address), "Prometheus to be ready")
        threading.Thread(target=monitor.watch, daemon=True).start()
        yield monitor
    finally:
        monitor.stopping.set()
        process.terminate()
        process.wait(30)


def _is_ready(address: str) -> bool:
    with suppress(OSError), urlopen(f"http://{address}/-/ready", timeout=1) as answer:
        return bool(answer.status == 200)
    return False
