"""Which server commands ask: its URL and the token for it, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import click

from worker.broker.secretfile import SecretFileError, find_secret

URL = "PROVISIONERD_URL"
TOKEN = "PROVISIONERD_TOKEN"  # noqa: S105 - the name of a variable
MAX_TOKEN = 200


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server of the API, and what a command sends to be let in."""

    scheme: str
    host: str
    port: int
    path: str  #: that comes before each route; mostly empty
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """Its URL, for sentences."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _usual_port(self.scheme)
        return f"{self.scheme}://{host}" + ("" if is_usual else f":{self.port}") + self.path


def has_server(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether commands ask the API of a server instead of the database."""
    return bool((os.environ if environment is None else environment).get(URL))


def needs_database() -> None:
    """Refuse a command that cannot go over the API if only the URL of a server is known.

    Raises:
        click.ClickException: the environment names a server of the API and no database.
    """
    if not has_server() or _has_database(os.environ):
        return
    context = click.get_current_context(silent=True)
    command = f"`{context.command_path}`" if context else "this command"
    raise click.ClickException(
        f"{command} does not go over the API: set PROVISIONERD_DATABASE_URL, too"
    )


def _has_database(names: Mapping[str, str]) -> bool:
    try:
        return bool(names.get("PROVISIONERD_DATA_DIR") or find_secret("database_url", names))
    except SecretFileError:
        return True  # a broken one is reported when it is used


def find_server(environment: Mapping[str, str] | None = None) -> Server:
    """Return the server that the environment names.

    Raises:
        click.ClickException: the URL or the token cannot be used, or there is no token.
    """
    names = os.environ if environment is None else environment
    parts = _parsed(names.get(URL, ""))
    return Server(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or _usual_port(parts.scheme),
        path=parts.path.rstrip("/"),
        token=_token(names),
    )


def _token(names: Mapping[str, str]) -> str:
    try:
        token = find_secret("token", names)
    except SecretFileError as error:
        raise click.ClickException(str(error)) from error
    if not token:
        raise click.ClickException(
            f"{URL} needs a token: set {TOKEN} or {TOKEN}_FILE"
            " (`provisionerd token create --user NAME` on the server makes one)"
        )
    # A header cannot have everything, and an error of the library would show what it refuses.
    if len(token) > MAX_TOKEN or not token.isascii() or not token.replace("-", "").isalnum():
        raise click.ClickException(f"{TOKEN} is not a token: an id, a hyphen and a secret")
    return token


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not is_usable or not is_plain or "@" in parts.netloc or parts.query or parts.fragment:
        raise click.ClickException(
            f"{URL} is not the URL of a server: expected https://HOST or http://HOST:PORT,"
            " without a user, a password or a query"
        )
    return parts


def _usual_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
