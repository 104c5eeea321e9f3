"""The thread that sends webhooks. Each API process has one; no two send the same delivery."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from api.site import Network
from api.webhooks.signing import signed_headers
from api.webhooks.target import TargetError, post
from db.catalog.deliveries import (
    Delivery,
    fan_out,
    prune_deliveries,
    record_delivered,
    record_failure,
    take_deliveries,
)
from db.engine import Database
from db.jobs.retention import Retention
from db.outage import is_outage

log = logging.getLogger("api")

AT_ONCE = 8
POLL_S = 1.0
PRUNE_S = 3600.0
USER_AGENT = "provisionerd-webhooks"


class WebhookSender:
    """Sends what is due until it is stopped.

    Args:
        allowed: networks that are reached although they are not public.
        attempted: called after each attempt, with whether it was accepted.
    """

    def __init__(
        self,
        database: Database,
        *,
        retention: Retention,
        allowed: Sequence[Network] = (),
        attempted: Callable[[bool], object] = lambda _accepted: None,
    ) -> None:
        self._database = database
        self._retention = retention
        self._allowed = allowed
        self._attempted = attempted
        self._stopping = threading.Event()
        self._pruned_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="provisionerd-webhooks", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is being sent is recorded first."""
        self._stopping.set()
        self._thread.join(60)

    def turn(self) -> int:
        """Send what is due now, and return how many deliveries that were."""
        with self._database.begin() as session:
            fan_out(session)
        with self._database.begin() as session:
            due = take_deliveries(session, limit=AT_ONCE)
        if due:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._send, due))
        return len(due)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                sent = self.turn()
                self._prune()
            except Exception as error:
                sent = 0
                if not is_outage(error):
                    log.exception("webhooks were not sent")
            if not sent:
                self._stopping.wait(POLL_S)

    def _send(self, delivery: Delivery) -> None:
        status, error = self._attempt(delivery)
        is_accepted = status is not None and 200 <= status < 300
        self._attempted(is_accepted)
        with self._database.begin() as session:
            if status is not None and is_accepted:
                record_delivered(session, delivery, status=status)
            else:
                record_failure(session, delivery, status=status, error=error)

    def _attempt(self, delivery: Delivery) -> tuple[int | None, str]:
        if delivery.secret is None:
            return None, delivery.problem
        headers = signed_headers(
            delivery.secret,
            message_id=f"msg_{delivery.id}",
            timestamp=int(time.time()),
            body=delivery.body,
        )
        fixed = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        try:
            status = post(
                delivery.url,
                delivery.body.encode(),
                {**fixed, **headers},
                allowed=self._allowed,
            )
        except TargetError as error:
            return None, str(error)
        return status, "" if status < 300 else f"the answer was {status}"

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at < PRUNE_S:
            return
        self._pruned_at = time.monotonic()
        with self._database.begin() as session:
            prune_deliveries(session, older_than=self._retention.jobs)
