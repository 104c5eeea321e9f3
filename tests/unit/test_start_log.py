"""What a worker writes before it is ready."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from worker.process.children import worker_command


def test_each_line_that_a_worker_writes_at_its_start_has_the_format_of_the_settings(
    tmp_path: Path,
) -> None:
    command = worker_command("first")
    environment = {
        "PATH": os.environ["PATH"],
        "PROVISIONERD_DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/none",
        "PROVISIONERD_DATA_DIR": str(tmp_path),
        "PROVISIONERD_LOG_FORMAT": "json",
        "PROVISIONERD_REDIS_URL": "redis://127.0.0.1:1",
        "PROVISIONERD_SANDBOX": "off",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    first, *_rest = ended.stderr.splitlines()
    assert json.loads(first)["event"] == "sandbox.off", ended.stderr
