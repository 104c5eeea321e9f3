"""Hosts: what the workers on one of them share, and lose together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import make_url

from tests.harness.chaos.disks import Disk
from tests.harness.chaos.networks import Network
from tests.harness.proxy import LOCAL, Proxy
from worker.embedded.directory import free_port


@dataclass(kw_only=True)
class Host:
    """A host: its work directories, its disk and its network."""

    name: str
    postgres: Proxy
    redis: Proxy
    network: Network | None  #: None where none can be made: then its processes share ours
    losses: int = 0  #: each time it comes back as another host
    disk: Disk | None = None

    @property
    def folder(self) -> str:
        """The folder of its work directories, below the cluster's."""
        return f"host-{self.name}{self.losses}"

    @property
    def entry(self) -> Sequence[str]:
        """What the command line of a process on this host begins with."""
        return self.network.entry if self.network else ()

    def addresses(self, database_url: str) -> Mapping[str, str]:
        """The settings of a worker on this host that say where the servers and itself are."""
        own = self.network.address if self.network else LOCAL
        return {
            "database_url": through(database_url, self.postgres),
            "redis_url": f"redis://{self.redis.address}:{self.redis.port}/0",
            "metrics_address": f"{own}:{free_port()}",
        }

    def cut_off(self) -> None:
        """Let nothing reach it; its processes go on."""
        if self.network:
            self.network.cut()
            return
        for proxy in (self.postgres, self.redis):
            proxy.freeze()

    def rejoin(self) -> None:
        """Let everything reach it again."""
        if self.network:
            self.network.mend()
            return
        for proxy in (self.postgres, self.redis):
            proxy.heal()


def through(url: str, proxy: Proxy) -> str:
    """Return the URL that leads through the proxy."""
    led = make_url(url).set(host=proxy.address, port=proxy.port)
    return led.render_as_string(hide_password=False)
