"""What chaos harms: two hosts with workers, a network for each, and the servers behind them.

A worker stands in the network namespace of its host, and reaches PostgreSQL (through PgBouncer) and
Redis through proxies of the host. Where this machine lacks something, ``missing`` says so, and the
faults that need it are left out by name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.schema.migrate import migrate
from tests.harness.api.process import ApiProcess
from tests.harness.chaos.clocks import Clocks, build_clocks
from tests.harness.chaos.disks import Disk, mounted_disk
from tests.harness.chaos.gates import Gates
from tests.harness.chaos.hosts import Host, through
from tests.harness.chaos.networks import made_network
from tests.harness.chaos.sandbox import has_sandbox
from tests.harness.cluster import Cluster, running_cluster
from tests.harness.databases import opened_database
from tests.harness.pgbouncer import PgBouncer, find_pgbouncer
from tests.harness.postgres_server import ROLE, PostgresServer, new_postgres
from tests.harness.proxy import LOCAL, Proxy
from tests.harness.releases import Release, kept_release
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from worker.embedded.directory import free_port
from worker.process.children import is_ready

ALLOWANCE = 10  #: credits of each owner
POSTGRES_DISK = "400m"
WORK_DISK = "48m"
WORKERS = {"one": "a", "two": "a", "three": "b"}
"""Each worker's host. One host has a second worker, which recovers what the first one leaves."""

POOLER, DISKS, COMPILER = "PgBouncer", "mount", "a C compiler"
NETWORKS, SANDBOX = "ip netns", "a sandbox"
SANDBOX_AND_DISKS = f"{SANDBOX} or {DISKS}"
RELEASE = "the last release (`make upgrade-test` makes it)"


@dataclass(kw_only=True)
class Site:
    """The installation of one run."""

    cluster: Cluster
    gates: Gates
    server: PostgresServer
    bouncer: PgBouncer | None
    way: Proxy  #: of the judge to PostgreSQL: no fault is done to it
    hosts: dict[str, Host]
    disk: Disk | None  #: of PostgreSQL
    clocks: Clocks | None
    release: Release | None
    workers: dict[str, Worker] = field(default_factory=dict)
    stops: ExitStack = field(default_factory=ExitStack)

    @property
    def missing(self) -> frozenset[str]:
        """What this machine lacks."""
        lacks = {
            POOLER: self.bouncer is None,
            DISKS: self.disk is None,
            COMPILER: self.clocks is None,
            RELEASE: self.release is None,
            SANDBOX: not has_sandbox(),
            SANDBOX_AND_DISKS: self.disk is None or not has_sandbox(),
            NETWORKS: not all(host.network for host in self.hosts.values()),
        }
        return frozenset(name for name, is_missing in lacks.items() if is_missing)

    def host_of(self, worker: Worker) -> Host:
        """The host that the worker stands on."""
        return self.hosts[WORKERS[worker.name]]

    def on_host(self, host: Host) -> Sequence[Worker]:
        """The workers of a host that have not ended."""
        return [w for w in self.workers.values() if self.host_of(w) is host and not w.has_ended()]

    def keep_workers(self) -> None:
        """Start each worker that has ended; do not wait for it."""
        for name, host in WORKERS.items():
            worker = self.workers.get(name)
            if worker is None or worker.has_ended():
                self.workers[name] = self._start_worker(name, self.hosts[host])

    def wait_for_workers(self) -> None:
        """Wait until every worker takes builds."""

        def are_ready() -> bool:
            self.keep_workers()
            return all(is_ready(worker.address) for worker in self.workers.values())

        wait_until(are_ready, "the workers to become ready", tick_s=0.05)

    def lose(self, host: Host) -> None:
        """Lose a host for good: its processes at one moment, then its disk; put up another."""
        self.cluster.kill_all(self.on_host(host))
        folder = self.cluster.directory / host.folder
        if host.disk:
            host.disk.close()
        shutil.rmtree(folder, ignore_errors=True)
        host.losses += 1
        self.furnish(host)

    def furnish(self, host: Host) -> None:
        """Give a new host its disk."""
        host.disk = mounted_disk(self.cluster.directory / host.folder, WORK_DISK)
        if host.disk:
            self.stops.callback(host.disk.close)

    def point_at(self, server: PostgresServer) -> None:
        """Let everybody go to another server from now on."""
        self.server = server
        target = (LOCAL, server.port)
        if self.bouncer:
            self.bouncer.point_at(server)
        for proxy in [self.way] if self.bouncer else [self.way, *self.networks()]:
            proxy.target = target
            proxy.cut()

    def networks(self) -> Sequence[Proxy]:
        """The ways of all hosts to PostgreSQL."""
        return [host.postgres for host in self.hosts.values()]

    def forget_connections(self) -> None:
        """Let the judge connect anew: a fault of PostgreSQL has ended what it had."""
        self.way.cut()
        self.cluster.database.dispose()

    def forget_inits(self) -> None:
        """Remove what hosts keep of earlier inits, so that the next build runs one."""
        for host in self.hosts.values():
            shutil.rmtree(self._data_of(host) / "cache", ignore_errors=True)

    def start_released(self, host: Host) -> Worker:
        """Start a worker of the last release on the host; wait until it takes builds."""
        return self.cluster.start_worker(
            f"{host.name}-released",
            host=host.folder,
            entry=host.entry,
            version=self.release,
            **self._settings(host),
        )

    @contextmanager
    def apis(self) -> Iterator[Sequence[ApiProcess]]:
        """Two processes of the API: one is woken by PostgreSQL, the other may have to poll."""
        kept = {name: value for name, value in os.environ.items() if "PROVISIONERD" not in name}
        shared = {
            **kept,
            "PROVISIONERD_REDIS_URL": self.cluster.redis.url,
            "PROVISIONERD_DATA_DIR": str(self.cluster.directory / "data-api"),
            "PROVISIONERD_PREPARED_STATEMENTS": "false",
        }
        urls = (_as_role(self.server), self.cluster.database_url)
        apis = [
            ApiProcess(environment={**shared, "PROVISIONERD_DATABASE_URL": url}) for url in urls
        ]
        try:
            for api in apis:
                api.start()
            yield apis
        finally:
            for api in apis:
                api.kill()

    def _data_of(self, host: Host) -> Path:
        return self.cluster.directory / f"data-{host.folder}"

    def _start_worker(self, name: str, host: Host) -> Worker:
        return self.cluster.start_worker(
            name,
            wait=False,
            host=host.folder,
            entry=host.entry,
            environment=self.clocks.environment(name) if self.clocks else None,
            **self._settings(host),
            **self.gates.settings_for(name),
        )

    def _settings(self, host: Host) -> Mapping[str, Any]:
        return {
            **host.addresses(self.cluster.database_url),
            "data_dir": self._data_of(host),
            "prepared_statements": "false",
            "concurrency": 3,
            "drain_seconds": 4,
            "interrupt_grace_seconds": 8,
            # The ledger knows every build that was asked for, and expects no others.
            "stop_retry_seconds": 0,
        }


@contextmanager
def running_site(cli_config: Path) -> Iterator[Site]:
    """A site whose workers do not run yet; everything ends with the block."""
    with ExitStack() as stack:
        # Short: Unix sockets of providers and of PostgreSQL stand below it.
        directory = Path(tempfile.mkdtemp(prefix="pd-"))
        if "KEEP" not in os.environ:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o711)
        disk = mounted_disk(directory / "disk", POSTGRES_DISK)
        if disk:
            stack.callback(disk.close)
        server = _new_server(directory, disk)
        bouncer = _new_bouncer(server)
        site = _build(stack, directory, server, bouncer, disk, cli_config)
        try:
            for host in site.hosts.values():
                site.furnish(host)
            yield site
        finally:
            site.cluster.close()
            if bouncer:
                bouncer.kill()
            site.server.kill()
            site.stops.close()


def _build(
    stack: ExitStack,
    directory: Path,
    server: PostgresServer,
    bouncer: PgBouncer | None,
    disk: Disk | None,
    cli_config: Path,
) -> Site:
    way = stack.enter_context(Proxy(target=(LOCAL, server.port)))
    database = stack.enter_context(opened_database(through(server.url, way), pool_size=10))
    cluster = stack.enter_context(
        running_cluster(
            directory,
            database=database,
            database_url=bouncer.url if bouncer else _as_role(server),
            cli_config=cli_config,
            allowance=ALLOWANCE,
        )
    )
    front = bouncer.port if bouncer else server.port
    gates = Gates(root=directory / "gates")
    gates.make_for_template()
    return Site(
        cluster=cluster,
        gates=gates,
        server=server,
        bouncer=bouncer,
        way=way,
        hosts={
            name: _new_host(stack, index, name, postgres=front, redis=cluster.redis.port)
            for index, name in enumerate(sorted(set(WORKERS.values())))
        },
        disk=disk,
        clocks=build_clocks(directory),
        # The last release cannot open what is sealed.
        release=None if cluster.database.keyring.keys else kept_release(),
    )


def _new_host(stack: ExitStack, index: int, name: str, *, postgres: int, redis: int) -> Host:
    network = made_network(index)
    if network:
        stack.callback(network.close)
    ways = [
        stack.enter_context(
            Proxy(target=(LOCAL, port), address=network.gateway if network else LOCAL)
        )
        for port in (postgres, redis)
    ]
    return Host(name=name, postgres=ways[0], redis=ways[1], network=network)


def _new_server(directory: Path, disk: Disk | None) -> PostgresServer:
    server = new_postgres(directory, data=disk.folder / "primary" if disk else None)
    with opened_database(_as_role(server)) as database:
        migrate(database.engine)
    return server


def _new_bouncer(server: PostgresServer) -> PgBouncer | None:
    if find_pgbouncer() is None:
        return None
    bouncer = PgBouncer(server=server, mode="transaction", port=free_port())
    bouncer.start()
    return bouncer


def _as_role(server: PostgresServer) -> str:
    return server.url.replace("postgres@", f"{ROLE}@")
