"""The URL of the platform, which the provider block or the environment gives."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.providers.checks import is_url
from tests.providers.coder.environment import text
from tests.providers.findings import Findings, Refusal
from tests.providers.schema import STRING, Values, optional

DEFAULT_URL = "https://mydeployment.coder.com"
SETTINGS = (optional("url", STRING, is_url),)

_configured: dict[str, str] = {}


def configure(findings: Findings, config: Values) -> None:
    """Take the URL of the provider block."""
    given = config.get("url")
    if given == "":
        findings.error('CODER_AGENT_URL must not be empty; got ""')
        return
    _configured["url"] = given or text("CODER_AGENT_URL", DEFAULT_URL)


def url() -> str:
    """Return the URL, unchanged."""
    return _configured.get("url", DEFAULT_URL)


def port() -> int:
    """Return the port of the URL, or that of its scheme.

    Raises:
        Refusal: the port is no number.
    """
    parts = urlsplit(url())
    try:
        given = parts.port
    except ValueError:
        raise Refusal(f'couldn\'t parse port "{parts.netloc.rpartition(":")[2]}"') from None
    return given or (443 if parts.scheme == "https" else 80)


def root() -> str:
    """Return scheme, host and port with one slash at the end; any path is dropped."""
    parts = urlsplit(url())
    return f"{parts.scheme}://{parts.netloc}/"
