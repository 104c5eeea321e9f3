"""The rights in Redis that a worker and an enqueuer need, and which of them a user lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import redis
from redis.exceptions import NoPermissionError, ResponseError

from worker.broker.server import open_client
from worker.broker.transport import KEY_PREFIX

PROBE = f"{KEY_PREFIX}rights"
"""A key that is never written: the commands on it are queued, and then discarded."""

RING_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "PING": (),
    "SELECT": ("0",),
    "LPUSH": (PROBE, "value"),
}
"""Each command that ringing a doorbell needs, with arguments to try it with."""

WORKER_COMMANDS: Mapping[str, tuple[str, ...]] = {
    **RING_COMMANDS,
    "LLEN": (PROBE,),
    "BRPOP": (PROBE, "1"),
    "RPUSH": (PROBE, "value"),
    "HSET": (PROBE, "field", "value"),
    "HGET": (PROBE, "field"),
    "HDEL": (PROBE, "field"),
    "ZADD": (PROBE, "1", "member"),
    "ZRANGE": (PROBE, "0", "1"),
    "ZREM": (PROBE, "member"),
    "SADD": (PROBE, "member"),
    "SMEMBERS": (PROBE,),
    "SET": (PROBE, "value"),
    "GET": (PROBE,),
    "DEL": (PROBE,),
    "EVALSHA": ("0" * 40, "1", PROBE),
    "SCRIPT|LOAD": ("return 1",),
    "WATCH": (PROBE,),
    "UNWATCH": (),
}
BEFORE_TRANSACTION = ("WATCH", "UNWATCH")
"""Tried by themselves: Valkey refuses WATCH in a transaction before it looks at the rights."""
IN_TRANSACTION = tuple(name for name in WORKER_COMMANDS if name not in BEFORE_TRANSACTION)
TRANSACTION = ("MULTI", "EXEC", "DISCARD")
"""What wraps the commands of a worker; an enqueuer needs no transaction."""


def acl_line(user: str, commands: Mapping[str, tuple[str, ...]]) -> str:
    """Return the Redis command that gives ``user`` exactly these rights, and no password yet."""
    names = [*commands, *(TRANSACTION if commands is WORKER_COMMANDS else ())]
    allowed = " ".join(f"+{name.lower()}" for name in names)
    return f"ACL SETUSER {user} reset on ~{KEY_PREFIX}* {allowed}"


def missing_commands(url: str) -> list[str]:
    """Return the commands of a worker that the user of this URL may not run, such as ``BRPOP``.

    Nothing is changed: Redis checks the rights when it queues a command of a transaction, which
    is then discarded.

    Raises:
        redis.RedisError: the server cannot be reached, or refuses the password.
    """
    with open_client(url) as client:
        connection = client.connection_pool.get_connection()
        try:
            refused = _refused(connection, BEFORE_TRANSACTION)
            if _is_refused(connection, "MULTI"):
                return [*refused, "MULTI"]
            refused += _refused(connection, IN_TRANSACTION)
            return refused + (["DISCARD"] if _is_refused(connection, "DISCARD") else [])
        finally:
            connection.disconnect()


def _refused(connection: redis.Connection, names: Iterable[str]) -> list[str]:
    """Return which of a worker's commands are refused."""
    return [
        name for name in names if _is_refused(connection, *name.split("|"), *WORKER_COMMANDS[name])
    ]


def _is_refused(connection: redis.Connection, *words: str) -> bool:
    connection.send_command(*words)  # type: ignore[no-untyped-call]
    try:
        connection.read_response()
    except NoPermissionError:
        return True
    except ResponseError:
        pass  # for another reason: the user may run it
    return False
