"""The connection of this process that listens for notices of PostgreSQL.

Behind a pooler that changes the server connection between transactions, notices do not arrive.
The listener finds out by sending one to itself through another connection; if it does not arrive,
the process polls instead.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database, ignore_notice, sql
from db.streak import Streak

log = logging.getLogger("db")

PROBE_S = 2.0  #: how long a notice to itself may take
CHECK_S = 5.0  #: without notices, how often the connection is checked
RECONNECT_S = 1.0
ENDING_S = 10.0  #: longer than it takes to connect, or to find that a server is away
PROBE = "probe:"

Heard = Callable[[str, str], None]
"""Called with the channel and the payload of each notice, in the listener's thread."""


class Listener:
    """A thread with a connection of its own.

    Args:
        heard: called for each notice.
        lost: called when notices may have been missed.
    """

    def __init__(
        self,
        database: Database,
        *,
        channels: tuple[str, ...],
        heard: Heard,
        lost: Callable[[], None],
    ) -> None:
        self._database = database
        self._channels = channels
        self._heard = heard
        self._lost = lost
        self._stopping = threading.Event()
        self._failing = Streak()
        self._thread = threading.Thread(target=self._run, name="provisionerd-notices", daemon=True)
        self._connection: psycopg.Connection[Any] | None = None
        self.is_pushed = False  #: whether notices arrive; if not, readers must poll

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening at once, also in the middle of a wait. This does not wait for the end."""
        self._stopping.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            # Wakes the thread; closing the connection here would free what the thread uses.
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as end,
            ):
                end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until a listener that was told to stop has closed its connections."""
        self._thread.join(ENDING_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, SQLAlchemyError, OSError) as error:
                if self._failing.fail() and not self._stopping.is_set():
                    log.warning("notices of PostgreSQL are not received: %s", type(error).__name__)
            self.is_pushed, self._connection = False, None
            self._lost()
            self._stopping.wait(RECONNECT_S)

    def _listen(self) -> None:
        self._connection = connection = connect_apart(self._database)
        with connection:
            self.is_pushed = listen_and_probe(self._database, connection, self._channels)
            if not self.is_pushed:
                log.warning("notices do not arrive, so followers poll: is there a pooler between?")
            self._failing.end()
            self._lost()
            while not self._stopping.is_set():
                if not self._receive(connection, CHECK_S):
                    connection.execute("SELECT 1")

    def _receive(self, connection: psycopg.Connection[Any], within_s: float) -> bool:
        """Pass on the notices of a while; return whether there were any."""
        received = False
        for notice in connection.notifies(timeout=within_s):
            received = True
            if not notice.payload.startswith(PROBE):
                self._heard(notice.channel, notice.payload)
            if self._stopping.is_set():
                break
        return received


def notices_arrive(database: Database, channel: str) -> bool:
    """Return whether a connection like that of a ``Listener`` gets the notices of a channel.

    Raises:
        psycopg.Error, SQLAlchemyError: the database cannot be reached.
    """
    with connect_apart(database) as connection:
        return listen_and_probe(database, connection, (channel,))


def connect_apart(database: Database) -> psycopg.Connection[Any]:
    """Return a connection that the pool knows nothing of."""
    pooled = database.engine.raw_connection()
    connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
    pooled.detach()
    connection.remove_notify_handler(ignore_notice)
    return connection


def listen_and_probe(
    database: Database, connection: psycopg.Connection[Any], channels: tuple[str, ...]
) -> bool:
    """Listen to the channels; return whether a notice that is sent to the first one arrives."""
    connection.autocommit = True
    for channel in channels:
        connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
    wanted = f"{PROBE}{uuid.uuid4()}"
    with database.begin() as session:
        session.execute(
            sql("SELECT pg_notify(:channel, :payload)"),
            {"channel": channels[0], "payload": wanted},
        )
    # Notices of other transactions may come before it.
    return any(notice.payload == wanted for notice in connection.notifies(timeout=PROBE_S))
