"""The signature of a webhook's request, by the scheme of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"


def signed_headers(secret: str, *, message_id: str, timestamp: int, body: str) -> Mapping[str, str]:
    """Return the headers that say who sent a body, and when.

    Args:
        secret: the key as base64, after ``whsec_``.
        timestamp: seconds since the epoch.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.{body}".encode()
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{digest}",
    }
