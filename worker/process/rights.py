"""Whether the users in PostgreSQL and Redis have the rights that a worker needs."""

from __future__ import annotations

from collections.abc import Sequence

from db.engine import Database
from db.schema.grants import AccessRole, missing_rights
from worker.broker.errors import BROKER_AWAY, AuthenticationError
from worker.broker.rights import missing_commands

HINT = "`provisionerd grants --role worker` prints the rights that a worker needs"


class RightsError(Exception):
    """A user lacks rights; the message names them."""


def check_rights(database: Database, redis_url: str) -> None:
    """Refuse users that cannot do a worker's work.

    If Redis is away, its rights are not checked: the worker waits for Redis.

    Raises:
        RightsError: names what is missing.
    """
    with database.begin() as session:
        lacking = missing_rights(session, AccessRole.WORKER)
    if lacking:
        raise RightsError(f"{database_sentence(lacking)}; {HINT}")
    try:
        refused = missing_commands(redis_url)
    except AuthenticationError as error:
        raise RightsError(
            f"Redis refuses the user or the password ({error}); check PROVISIONERD_REDIS_URL"
        ) from error
    except BROKER_AWAY:
        return
    if refused:
        raise RightsError(f"{broker_sentence(refused)}; {HINT}")


def database_sentence(lacking: Sequence[str]) -> str:
    """Return what the PostgreSQL user lacks."""
    return f"the user of PROVISIONERD_DATABASE_URL lacks {', '.join(lacking)}"


def broker_sentence(refused: Sequence[str]) -> str:
    """Return what the Redis user may not run."""
    return (
        f"the user of PROVISIONERD_REDIS_URL may not run {', '.join(refused)}"
        " on keys that begin with provisionerd:"
    )
