"""The broker's address: the configured one, or the Redis that runs in the data directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

DEFAULT_DATA_DIR = Path("~/.local/share/provisionerd")
EMBEDDED_SERVERS = Path("embedded/servers")
"""The directory of the embedded servers, relative to the data directory."""
SOCKETS = "run"
SOCKETS_LINK = "run.elsewhere"
"""A link to the folder of the sockets, used when the path of the usual folder is too long."""
REDIS_SOCKET = "redis.sock"

CONNECT_TIMEOUT_S = 0.5


def broker_url(redis_url: str) -> str:
    """Return Celery's form of ``redis_url``, a URL in redis-py's form.

    The forms differ only for Unix sockets.
    """
    scheme, _, rest = redis_url.partition("://")
    if scheme != "unix":
        return redis_url
    return "redis+socket://" + rest.replace("?db=", "?virtual_host=")


def socket_url(path: Path) -> str:
    """Return the URL, in redis-py's form, of the Redis that listens at a Unix socket."""
    return f"unix://{quote(str(path), safe='/')}?db=0"


def find_redis_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the broker for a caller that gives none; None if there is no broker.

    This is ``PROVISIONERD_REDIS_URL``, else the Redis that already runs in the data directory.
    It starts nothing, and reads only ``PROVISIONERD_REDIS_URL`` and ``PROVISIONERD_DATA_DIR``.
    """
    configured = environment.get("PROVISIONERD_REDIS_URL")
    if configured:
        return configured
    data_dir = Path(environment.get("PROVISIONERD_DATA_DIR") or DEFAULT_DATA_DIR).expanduser()
    path = _redis_socket(data_dir / EMBEDDED_SERVERS)
    return socket_url(path) if accepts_connections(path) else None


def accepts_connections(path: Path) -> bool:
    """Return whether a server accepts connections at this Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(CONNECT_TIMEOUT_S)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _redis_socket(servers: Path) -> Path:
    servers = servers.resolve()
    link = servers / SOCKETS_LINK
    folder = link.readlink() if link.is_symlink() else servers / SOCKETS
    return folder / REDIS_SOCKET
