"""Where the broker is: what callers configure, or the Redis that runs in the data directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

DEFAULT_DATA_DIR = Path("~/.local/share/provisionerd")
EMBEDDED_SERVERS = Path("embedded/servers")
"""Where the embedded servers keep their files, below the data directory."""
SOCKETS = "run"
SOCKETS_LINK = "run.elsewhere"
"""A link to the folder of the sockets, when the path of the usual one does not fit."""
REDIS_SOCKET = "redis.sock"

CONNECT_TIMEOUT_S = 0.5


def broker_url(redis_url: str) -> str:
    """Return the URL by which Celery reaches the Redis that redis-py knows as ``redis_url``.

    The two differ for Unix sockets only.
    """
    scheme, _, rest = redis_url.partition("://")
    if scheme != "unix":
        return redis_url
    return "redis+socket://" + rest.replace("?db=", "?virtual_host=")


def socket_url(path: Path) -> str:
    """Return the URL, in redis-py's form, of the Redis that listens at a Unix socket."""
    return f"unix://{quote(str(path), safe='/')}?db=0"


def find_redis_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the broker for a caller that names none; None when there is none.

    That is ``PROVISIONERD_REDIS_URL``, else the Redis that already runs in the data directory.
    Nothing is started, and no other setting is read.
    """
    configured = environment.get("PROVISIONERD_REDIS_URL")
    if configured:
        return configured
    data_dir = Path(environment.get("PROVISIONERD_DATA_DIR") or DEFAULT_DATA_DIR).expanduser()
    path = _redis_socket(data_dir / EMBEDDED_SERVERS)
    return socket_url(path) if is_answered(path) else None


def is_answered(path: Path) -> bool:
    """Return whether somebody accepts connections at this Unix socket."""
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
