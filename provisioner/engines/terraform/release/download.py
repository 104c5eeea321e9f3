"""Downloads by HTTPS only, of bounded size."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Protocol

from provisioner.engines.terraform.release.errors import ReleaseError

Progress = Callable[[int, int | None], None]
"""Takes the bytes downloaded so far and the size in bytes (None if the server does not say)."""

MAX_BYTES = 1024 * 1024 * 1024
"""A larger archive or binary is refused."""

_SCHEME = "https://"
_TIMEOUT_S = 30.0  # of each single network operation
_CHUNK_BYTES = 256 * 1024
_MAX_SMALL_BYTES = 1024 * 1024


class Source(Protocol):
    """What can be read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 -- urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl, "it is redirected to a URL that")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_small(url: str) -> bytes:
    """Return what is at ``url``, at most a megabyte.

    Raises:
        ReleaseError: the URL, or one that it is redirected to, is not https, or it is larger.
        OSError: the download failed.
    """
    with _open(url) as response:
        data = response.read(_MAX_SMALL_BYTES + 1)
    if len(data) > _MAX_SMALL_BYTES:
        raise ReleaseError(f"{url} is larger than {_MAX_SMALL_BYTES} bytes")
    return data


def download(url: str, target: Path, progress: Progress | None) -> str:
    """Write what is at ``url`` to a file, and return its SHA-256 sum in hex.

    Raises:
        ReleaseError: as of ``fetch_small``, or it was cut off.
        OSError: the download failed, or the file cannot be written.
    """
    digest, fetched_bytes = hashlib.sha256(), 0
    with _open(url) as response, target.open("wb") as file:
        length = response.headers.get("Content-Length", "")
        total_bytes = int(length) if length.isdigit() else None
        for chunk in chunks(response, "it"):
            digest.update(chunk)
            file.write(chunk)
            fetched_bytes += len(chunk)
            if progress:
                progress(fetched_bytes, total_bytes)
    if total_bytes not in {None, fetched_bytes}:
        raise ReleaseError(f"it was cut off after {fetched_bytes} of {total_bytes} bytes")
    return digest.hexdigest()


def chunks(source: Source, what: str) -> Iterator[bytes]:
    """Yield the content of ``source``, up to ``MAX_BYTES``.

    Raises:
        ReleaseError: ``what`` is larger.
    """
    read_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        read_bytes += len(chunk)
        if read_bytes > MAX_BYTES:
            raise ReleaseError(f"{what} is larger than {MAX_BYTES} bytes")
        yield chunk


def _open(url: str) -> HTTPResponse:
    _check_scheme(url, "the release URL")
    opener = urllib.request.build_opener(_OnlyHttps)
    response: HTTPResponse = opener.open(url, timeout=_TIMEOUT_S)
    return response


def _check_scheme(url: str, what: str) -> None:
    # urllib would also open http:, file: and ftp: URLs.
    if not url.lower().startswith(_SCHEME):
        raise ReleaseError(f"{what} is not https")
