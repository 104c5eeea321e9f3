"""The broker's address: the configured one, or the Redis that runs in the data directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from worker.broker.secretfile import find_secret

DEFAULT_DATA_DIR = Path("~/.local/share/provisionerd")
EMBEDDED_SERVERS = Path("embedded/servers")
"""The directory of the embedded servers, relative to the data directory."""
SOCKETS = "run"
SOCKETS_LINK = "run.elsewhere"
"""A link to the folder of the sockets, used when the path of the usual folder is too long."""
REDIS_SOCKET = "redis.sock"

TLS = "rediss"
CERTIFICATE, CA_FILE = "ssl_cert_reqs", "ssl_ca_certs"
"""Options of a URL with TLS, as redis-py and kombu name them."""

CONNECT_TIMEOUT_S = 0.5
_SCHEMES = ("redis", TLS, "unix")


def broker_url(redis_url: str) -> str:
    """Return Celery's form of ``redis_url``, a URL in redis-py's form.

    The forms differ for Unix sockets. With TLS, kombu accepts any certificate unless the URL says
    otherwise, so it does; redis-py requires a valid one by default.
    """
    scheme, _, rest = redis_url.partition("://")
    if scheme == "unix":
        return "redis+socket://" + rest.replace("?db=", "?virtual_host=")
    if scheme == TLS and f"{CERTIFICATE}=" not in rest:
        return _with_option(redis_url, CERTIFICATE, "required")
    return redis_url


def check_redis_url(redis_url: str) -> None:
    """Check the form of a URL, without connecting.

    Raises:
        ValueError: neither redis-py nor Celery can use it; the message says why, without the URL.
    """
    try:
        parts = urlsplit(redis_url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"the host or the port cannot be read ({error})") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the URL must start with one of {', '.join(_SCHEMES)}")
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        raise ValueError(f"the database of Redis is a number, not {database!r}")


def with_ca_file(redis_url: str, ca_file: Path | str | None) -> str:
    """Return the URL with the file of certificates that the server's is checked against.

    A URL without TLS is returned unchanged, and so is one that names a file itself.
    """
    if not ca_file or not redis_url.startswith(f"{TLS}://") or f"{CA_FILE}=" in redis_url:
        return redis_url
    return _with_option(redis_url, CA_FILE, str(ca_file))


def _with_option(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{name}={quote(value, safe='/')}"


def socket_url(path: Path) -> str:
    """Return the URL, in redis-py's form, of the Redis that listens at a Unix socket."""
    return f"unix://{quote(str(path), safe='/')}?db=0"


def find_redis_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the broker for a caller that gives none; None if there is no broker.

    This is ``PROVISIONERD_REDIS_URL`` or its file, else the Redis that already runs in the data
    directory. It starts nothing, and reads no setting but these, ``PROVISIONERD_REDIS_CA_FILE``
    and ``PROVISIONERD_DATA_DIR``.

    Raises:
        SecretFileError: the file cannot be read.
    """
    configured = find_secret("redis_url", environment)
    if configured:
        return with_ca_file(configured, environment.get("PROVISIONERD_REDIS_CA_FILE"))
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
