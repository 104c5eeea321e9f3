"""A process of ``provisionerd serve``, for tests that kill it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.harness.cluster import REPOSITORY
from tests.harness.waiting import wait_until
from worker.process.children import free_address, is_ready


@dataclass(kw_only=True)
class ApiProcess:
    """A process of the HTTP API; it has the same addresses each time it is started."""

    environment: Mapping[str, str]
    address: str = field(default_factory=free_address)
    metrics_address: str = field(default_factory=free_address)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self.address}"

    def start(self, *, wait: bool = True) -> None:
        """Start the process, and wait until it serves metrics."""
        environment = {
            **self.environment,
            "PROVISIONERD_API_ADDRESS": self.address,
            "PROVISIONERD_API_METRICS_ADDRESS": self.metrics_address,
        }
        command = [sys.executable, "-m", "cli.main", "serve"]
        self.process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL
        )
        if wait:
            wait_until(lambda: is_ready(self.metrics_address), "the API to be ready")

    def kill(self) -> None:
        """End the process as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None
