"""``provisionerd up`` ends with everything that it has started, whatever tells it to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness.processes import wait_until_gone
from tests.harness.waiting import wait_until

ENDING_S = 60


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_up_ends_with_all_that_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "PROVISIONERD_DATA_DIR": str(tmp_path / "data"),
        "PROVISIONERD_API_ADDRESS": "127.0.0.1:0",
        "PROVISIONERD_API_METRICS_ADDRESS": "",
        "PROVISIONERD_METRICS_ADDRESS": "",
    }
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"],
            env=environment,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        wait_until(lambda: b"worker.ready" in log.read_bytes(), "the worker", within_s=ENDING_S)
        started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(number)
        assert process.wait(ENDING_S) == 0
    for pid in started:
        wait_until_gone(pid)
