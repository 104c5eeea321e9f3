"""What all requests of one API process share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from api.limits import Rate
from api.streams.hub import Hub
from db.engine import Database

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Site:
    """The database, the broker's address, and the limits of this process."""

    database: Database
    redis_url: str | None
    hub: Hub
    access_url: str = ""  #: where users reach the API; empty: as the request says
    trusted_proxies: tuple[Network, ...] = field(default=())
    rate: Rate = field(default_factory=lambda: Rate(0))  #: of requests of one token
    streams_per_token: int = 100  #: open at the same time
    #: held by the one upload that is in memory
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
