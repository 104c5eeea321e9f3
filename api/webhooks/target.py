"""Sending a request to an address of a user, and to no address inside of the deployment.

The name is resolved once, every address is checked, and the connection is made to the checked
address: a name that resolves to another address a moment later changes nothing. Redirects are not
followed.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from api.site import Network

TIMEOUT_S = 10.0  #: of each operation of the socket
DEADLINE_S = 30.0  #: of the whole request
# These carry an IPv4 address that is not checked.
TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16"), IPv6Network("2001::/32"))


@dataclass(eq=False)
class TargetError(Exception):
    """The request was not sent, or not answered."""

    reason: str

    def __str__(self) -> str:
        return self.reason


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allowed: Sequence[Network] = ()
) -> int:
    """Send a POST request, and return the status of the answer.

    Args:
        allowed: networks that requests may go to although they are not public.

    Raises:
        TargetError: the address is not allowed, or did not answer in time.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise TargetError("the URL cannot be read") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise TargetError("the URL is not one of http or https, without a user")
    address = _checked_address(parts.hostname, port, allowed)
    try:
        return _exchange(parts, address, port, body, headers)
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        raise TargetError(f"no answer: {type(error).__name__}") from error


def is_allowed(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether requests may go to an address: public ones, and those of ``allowed``."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found in network for network in allowed):
        return True
    return found.is_global and not found.is_multicast and not _is_translated(found)


def _is_translated(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in TRANSLATED)


def _checked_address(host: str, port: int, allowed: Sequence[Network]) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetError("the name of the host cannot be resolved") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_allowed(address, allowed) for address in addresses):
        raise TargetError("the host has an address that is not public")
    return addresses[0]


def _exchange(
    parts: SplitResult, address: str, port: int, body: bytes, headers: Mapping[str, str]
) -> int:
    assert parts.hostname is not None
    sock = socket.create_connection((address, port), timeout=TIMEOUT_S)
    # A receiver that sends a byte now and then would outlast every timeout of the socket.
    deadline = threading.Timer(DEADLINE_S, _shut, [sock])
    deadline.daemon = True
    deadline.start()
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=parts.hostname)
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT_S)
        connection.sock = sock
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("POST", target, body, {"Host": parts.netloc, **headers})
        return connection.getresponse().status
    finally:
        deadline.cancel()
        sock.close()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
