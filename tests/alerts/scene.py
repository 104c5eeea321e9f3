"""What the alerts are provoked on: servers on a small disk, workers, an exporter, a Prometheus."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.engine import Database
from tests.alerts.monitor import Monitor, running_prometheus
from tests.harness.api.process import ApiProcess
from tests.harness.cluster import REPOSITORY, TIMES, Cluster
from tests.harness.databases import make_template
from tests.harness.installation import new_cluster
from tests.harness.ledger import install_ledger
from tests.harness.proxy import Proxy, retarget
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from worker.embedded import start_embedded
from worker.process.children import free_address, is_ready

DISK_MEGABYTES = 400
FILLER = "filler"


@dataclass(kw_only=True)
class Scene:
    """The deployment that is harmed. ``disk`` is what PostgreSQL lies on; None: not limited."""

    cluster: Cluster
    proxy: Proxy
    monitor: Monitor
    disk: Path | None
    exporter_address: str = field(default_factory=free_address)
    exporter: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> Database:
        """The database, by a way that is not harmed."""
        return self.cluster.database

    def start_worker(self, name: str, *, host: str = "host", **settings: str) -> Worker:
        """Start a worker behind the proxy, and let Prometheus scrape it."""
        given: dict[str, Any] = settings
        worker = self.cluster.start_worker(
            name,
            host=host,
            database_url=retarget(self.proxy)(self.cluster.database_url),
            engines="terraform,echo",
            **given,
        )
        self.scrape_workers()
        wait_until(lambda: self.monitor.knows(worker.address), "two scrapes", tick_s=0.2)
        return worker

    def retire(self, worker: Worker) -> None:
        """Forget a worker that was killed, as a deployment does that was scaled down."""
        self.cluster.workers.remove(worker)
        self.scrape_workers()

    def scrape_workers(self) -> None:
        """Let Prometheus scrape the workers of now."""
        self.monitor.scrape(
            "provisionerd-worker", [worker.address for worker in self.cluster.workers]
        )

    def start_exporter(self) -> None:
        """Start the exporter, and let Prometheus scrape it."""
        self.exporter = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "exporter", "--address", self.exporter_address],
            env=self._environment(self.cluster.database_url),
            cwd=REPOSITORY,
            stderr=subprocess.DEVNULL,
        )
        self.monitor.scrape("provisionerd-exporter", [self.exporter_address])
        wait_until(lambda: is_ready(self.exporter_address), "the exporter to be ready")

    def stop_exporter(self) -> None:
        """Stop the exporter."""
        if self.exporter is not None:
            self.exporter.terminate()
            self.exporter.wait(30)
            self.exporter = None

    @contextmanager
    def api(self) -> Iterator[ApiProcess]:
        """A process of the API behind the proxy, which Prometheus scrapes while the block runs."""
        url = retarget(self.proxy)(self.cluster.database_url)
        api = ApiProcess(environment=self._environment(url))
        api.start()
        try:
            self.monitor.scrape("provisionerd-api", [api.metrics_address])
            wait_until(lambda: self.monitor.knows(api.metrics_address), "two scrapes", tick_s=0.2)
            yield api
        finally:
            self.monitor.scrape("provisionerd-api", [])
            api.kill()

    def _environment(self, database_url: str) -> Mapping[str, str]:
        return {
            **os.environ,
            "PROVISIONERD_DATABASE_URL": database_url,
            "PROVISIONERD_REDIS_URL": self.cluster.redis.url,
            **{f"PROVISIONERD_{name}": value for name, value in TIMES.items()},
        }

    def fill_disk(self) -> None:
        """Leave no room on PostgreSQL's disk."""
        assert self.disk is not None
        with suppress(OSError), (self.disk / FILLER).open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(8192))

    def clear_disk(self) -> None:
        """Give the room back."""
        assert self.disk is not None
        (self.disk / FILLER).unlink()


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder on a disk of its own, and whether it is one: only root may mount."""
    folder = Path(tempfile.mkdtemp(prefix="pd-disk-", dir="/var/tmp"))
    size = f"size={DISK_MEGABYTES}m,mode=0711"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    folder.chmod(0o711)
    is_mounted = mounted.returncode == 0
    try:
        yield folder, is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", folder], check=False)
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def prepared_scene() -> Iterator[Scene]:
    """Everything started but the workers."""
    with ExitStack() as stack:
        folder, is_small = stack.enter_context(small_disk())
        servers = stack.enter_context(start_embedded(folder, tcp=True))
        mirror = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pd-mirror-")))
        cluster = stack.enter_context(
            new_cluster(servers, make_template(servers), install_ledger(mirror))
        )
        assert servers.postgres_port is not None
        scene = Scene(
            cluster=cluster,
            proxy=stack.enter_context(Proxy(target=("127.0.0.1", servers.postgres_port))),
            monitor=stack.enter_context(running_prometheus(cluster.directory / "prometheus")),
            disk=folder if is_small else None,
        )
        stack.callback(scene.stop_exporter)
        scene.start_exporter()
        yield scene
