"""Workers that hold one build in each stage, with a pooler between them and PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.engine import open_database
from db.schema.enums import JobStatus, Transition
from db.schema.migrate import migrate
from tests.harness.cluster import Cluster, running_cluster
from tests.harness.databases import opened_database
from tests.harness.pgbouncer import PgBouncer
from tests.harness.postgres_server import ROLE, PostgresServer, new_postgres
from tests.harness.proxy import Proxy
from tests.harness.waiting import NeverHappenedError, wait_until
from tests.harness.worker import Worker
from worker.embedded.directory import free_port

POINTS: Mapping[str, str] = {
    "pending": "claim.begin",
    "set_up": "set_up.begin",
    "init": "init.begin",
    "plan": "plan.begin",
    "commit_quota": "commit_quota.begin",
    "apply": "apply.end",
    "finish": "finish.begin",
}
"""Where the build of each stage is held: see ``db.faults``."""

APPLIED = ("apply", "finish")
"""Stages in which the build that is held has made its machine."""

FENCE_S = 12  # as by default: seven workers start their Terraforms at one moment
TIMES: Mapping[str, Any] = {"lease_seconds": 18, "fence_seconds": FENCE_S, "fence_grace_seconds": 1}
DISK = "320m"
MODES = ("transaction", "session", "direct")
"""The pool mode; ``direct`` is a URL that names the primary and its standby."""


@dataclass(kw_only=True)
class Held:
    """One worker for each stage, and the servers that can be harmed."""

    cluster: Cluster
    server: PostgresServer
    way: Proxy  #: of the tests to PostgreSQL
    mode: str
    bouncer: PgBouncer | None
    ports: tuple[int, int]  #: of the primary and the standby, who change places
    disk: Path | None  #: the file system of the server's data; None where none could be mounted
    jobs: Mapping[str, uuid.UUID] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)  #: how much of each worker's log

    def hold_builds(self) -> None:
        """Enqueue a build for each stage, and wait until each is held in it."""
        for stage in POINTS:
            self._gate(stage).unlink(missing_ok=True)
            self._reached(stage).unlink(missing_ok=True)
        self.jobs = {stage: self.cluster.enqueue(self._workspace(stage)) for stage in POINTS}
        for stage in POINTS:
            wait_until(self._reached(stage).exists, f"a build to be held in {stage}")

    def let_go(self) -> None:
        """Let the builds go on."""
        for stage in POINTS:
            self._gate(stage).touch()

    def problems(self, *, attempts: int = 1) -> Sequence[str]:
        """Wait for the ends of the builds; return what is wrong with them.

        Args:
            attempts: how often a build may have been tried.
        """
        with suppress(NeverHappenedError):  # the rows say which have not ended
            self.cluster.finish(*self.jobs.values(), within_s=120)
        rows = {stage: self.cluster.row(job_id) for stage, job_id in self.jobs.items()}
        found = [
            f"{stage}: {row['status']} in attempt {row['attempt']}: {row['error']};"
            f" its worker says {self._worker(stage).said()[-3000:]}"
            for stage, row in rows.items()
            if row["status"] != JobStatus.SUCCEEDED or row["attempt"] > attempts
        ]
        if len(self.cluster.machines()) != len(APPLIED):
            found.append(f"{len(APPLIED)} machines were wanted: {self.cluster.machines()}")
        if unknown := self.cluster.machines() - self.cluster.known_machines():
            found.append(f"machines that no state knows: {unknown}")
        return [*found, *self._problems_of_deletes(rows), *self._tracebacks()]

    def _problems_of_deletes(self, rows: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
        deleting = [
            self.cluster.enqueue(rows[stage]["workspace"], Transition.DELETE) for stage in APPLIED
        ]
        self.let_go()
        self.cluster.finish(*deleting, within_s=120)
        failed = [
            f"delete: {row['error']}"
            for row in map(self.cluster.row, deleting)
            if row["status"] != JobStatus.SUCCEEDED
        ]
        left = self.cluster.machines()
        return [*failed, *([f"machines are left after the deletes: {left}"] if left else [])]

    def _tracebacks(self) -> Iterator[str]:
        """Yield what the workers' logs newly say of errors that nobody expected."""
        for worker in self.cluster.workers:
            said = worker.said()
            new, self.read[worker.name] = said[self.read.get(worker.name, 0) :], len(said)
            if "raised unexpected" in new or "Traceback" in new:
                yield f"{worker.name} says {new[-4000:]}"

    def promote(self, standby: PostgresServer) -> None:
        """Make the standby the primary; the pooler and the tests go there from now on."""
        standby.promote()
        self.server = standby
        self.way.target = ("127.0.0.1", standby.port)
        self.way.cut()
        if self.bouncer:
            self.bouncer.point_at(standby)

    def start_workers(self) -> None:
        """Start a worker for each stage, with a gate at its point."""
        for stage, point in POINTS.items():
            self.cluster.start_worker(
                stage,
                wait=False,
                tags=f"stage={stage}",
                faults=f"{point}=hold:{self._gate(stage)}",
                concurrency=1,
                prepared_statements=str(self.mode != "transaction").lower(),
                **TIMES,
            )
        for worker in self.cluster.workers:
            wait_until(worker.is_ready, f"worker {worker.name} to become ready")

    def _worker(self, stage: str) -> Worker:
        return next(worker for worker in self.cluster.workers if worker.name == stage)

    def _workspace(self, stage: str) -> uuid.UUID:
        # A machine's provider takes seconds to start: only where there is something to lose.
        template = "machine" if stage in APPLIED else "plain"
        return self.cluster.workspace(template, tags={"stage": stage})

    def _gate(self, stage: str) -> Path:
        return self.cluster.directory / f"gate-{stage}"

    def _reached(self, stage: str) -> Path:
        return self.cluster.directory / f"gate-{stage}.reached"


@contextmanager
def held_builds(mode: str, cli_config: Path) -> Iterator[Held]:
    """PostgreSQL, what is between it and the workers, and a worker for each stage."""
    with ExitStack() as stack:
        # Short: Unix sockets of providers and of PostgreSQL stand below it.
        directory = Path(tempfile.mkdtemp(prefix="pd-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)
        disk = stack.enter_context(_small_disk(directory / "disk"))
        server = new_postgres(directory, data=disk / "primary" if disk else None)
        stack.callback(server.kill)
        _migrate(server)
        bouncer = None
        if mode != "direct":
            bouncer = PgBouncer(server=server, mode=mode, port=free_port())
            bouncer.start()
            stack.callback(bouncer.kill)
        ports = (server.port, free_port())
        way = stack.enter_context(Proxy(target=("127.0.0.1", server.port)))
        database = stack.enter_context(
            opened_database(server.url.replace(f":{server.port}/", f":{way.port}/"))
        )
        cluster = stack.enter_context(
            running_cluster(
                directory,
                database=database,
                database_url=bouncer.url if bouncer else _either(*ports),
                cli_config=cli_config,
            )
        )
        held = Held(
            cluster=cluster,
            server=server,
            way=way,
            mode=mode,
            bouncer=bouncer,
            ports=ports,
            disk=disk,
        )
        stack.callback(_kill_server_of, held)
        held.start_workers()
        yield held


def _kill_server_of(held: Held) -> None:
    held.server.kill()  # another one than at the beginning, when a standby took over


def _either(*ports: int) -> str:
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    return f"postgresql+psycopg://{ROLE}@/postgres?{hosts}&target_session_attrs=read-write"


def _migrate(server: PostgresServer) -> None:
    database = open_database(server.url.replace("postgres@", f"{ROLE}@"))
    migrate(database.engine)
    database.dispose()


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A small file system in memory, if this process may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0777", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
