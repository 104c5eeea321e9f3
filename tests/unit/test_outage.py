from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.errors import LeaseLostError
from db.outage import FIRST_PAUSE_S, LAST_PAUSE_S, is_outage, retry_outage


def raised(cause: BaseException, *, invalidated: bool = False) -> DBAPIError:
    kind = OperationalError if isinstance(cause, psycopg.OperationalError) else IntegrityError
    return kind("SELECT 1", {}, cause, connection_invalidated=invalidated)


OUTAGE = raised(psycopg.OperationalError("connection refused"))


def kind_of(error: object) -> str:
    return type(getattr(error, "orig", error)).__name__


@pytest.mark.parametrize(
    "error",
    [
        OUTAGE,
        PoolTimeoutError("no connection is free"),
        raised(psycopg.errors.AdminShutdown()),
        raised(psycopg.errors.CannotConnectNow()),
        raised(psycopg.errors.ConfigurationLimitExceeded()),
        raised(psycopg.errors.ConnectionFailure()),
        raised(psycopg.errors.CrashShutdown()),
        raised(psycopg.errors.DeadlockDetected()),
        raised(psycopg.errors.DiskFull()),
        raised(psycopg.errors.DuplicatePreparedStatement()),
        raised(psycopg.errors.IdleInTransactionSessionTimeout()),
        raised(psycopg.errors.IdleSessionTimeout()),
        raised(psycopg.errors.InvalidSqlStatementName()),
        raised(psycopg.errors.IoError()),
        raised(psycopg.errors.LockNotAvailable()),
        raised(psycopg.errors.OutOfMemory()),
        raised(psycopg.errors.ProtocolViolation("query_wait_timeout")),
        raised(psycopg.errors.QueryCanceled()),
        raised(psycopg.errors.ReadOnlySqlTransaction()),
        raised(psycopg.errors.SerializationFailure()),
        raised(psycopg.errors.TooManyConnections()),
        raised(psycopg.InterfaceError("closed"), invalidated=True),
        raised(psycopg.errors.InternalError_("FATAL: max clients reached")),
    ],
    ids=kind_of,
)
def test_what_may_succeed_later_is_an_outage(error: BaseException) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        raised(psycopg.errors.UniqueViolation()),
        raised(psycopg.errors.CheckViolation()),
        raised(psycopg.errors.DatabaseDropped()),
        raised(psycopg.errors.UndefinedTable()),
        raised(psycopg.errors.InsufficientPrivilege()),
        raised(psycopg.errors.InternalError_("cache lookup failed")),
        raised(psycopg.errors.InvalidPassword()),
        raised(psycopg.DataError("NUL")),
        ValueError("ours"),
        OSError("the disk"),
        LeaseLostError(None),  # type: ignore[arg-type]
    ],
    ids=kind_of,
)
def test_what_would_fail_again_is_none(error: BaseException) -> None:
    assert not is_outage(error)


class Flaky:
    """An action that fails a number of times."""

    def __init__(self, failures: int, error: Exception = OUTAGE) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def always() -> bool:
    return True


def test_an_action_is_tried_until_the_outage_is_over() -> None:
    assert retry_outage(Flaky(30), may_go_on=always, sleep=lambda _s: None) == "done"


def test_pauses_grow_to_a_limit() -> None:
    pauses: list[float] = []
    retry_outage(Flaky(8), may_go_on=always, sleep=pauses.append)
    assert pauses == [FIRST_PAUSE_S * 2**n for n in range(5)] + [LAST_PAUSE_S] * 3


def test_each_outage_is_told() -> None:
    told: list[BaseException] = []
    retry_outage(Flaky(2), may_go_on=always, on_outage=told.append, sleep=lambda _s: None)
    assert told == [OUTAGE, OUTAGE]


def test_the_outage_is_raised_once_there_is_no_reason_to_go_on() -> None:
    answers = iter((True, True, False))
    action = Flaky(99)
    with pytest.raises(OperationalError):
        retry_outage(action, may_go_on=lambda: next(answers), sleep=lambda _s: None)
    assert action.calls == 3


def test_another_error_is_raised_at_once() -> None:
    action = Flaky(99, ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        retry_outage(action, may_go_on=always)
    assert action.calls == 1
