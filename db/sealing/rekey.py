"""Turn all secrets in the database over to the first key, while builds run.

Each value is changed in a transaction of its own, and only if nobody else has changed it. What is
interrupted is resumed by doing it again: values that are under the first key are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.engine import Database
from db.errors import SealedError
from db.outage import is_outage
from db.sealing.compression import decompress
from db.sealing.envelope import HEAD_BYTES, WRAP_BYTES, is_sealed, key_id_of, rewrap, seal
from db.sealing.keyring import Key, Keyring
from db.sealing.stored import STATES, TEXTS, States, Texts
from db.sealing.values import bytes_form, is_sealed_text, text_form

BATCH = 200  #: rows that are read at once
MAX_PASSES = 20
MAX_PROBLEMS = 20  #: that are kept in full
PLAIN, BROKEN = "plain", "broken"  #: what is under no key

Kind = States | Texts
Progress = Callable[[str, int], None]
"""Called after each batch with the noun of what is turned over, and how many were looked at."""


@dataclass(kw_only=True)
class Rekeyed:
    """What was done.

    Attributes:
        turned: how many values were sealed or turned over, by noun.
        problems: why a value was left as it is; the first few.
        failed: how many were left for such a reason.
        is_complete: False: values were changed by others each time until this gave up.
    """

    turned: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    failed: int = 0
    is_complete: bool = False


def rekey(database: Database, keyring: Keyring, *, on_progress: Progress | None = None) -> Rekeyed:
    """Seal every secret with the first key, also those that were stored before there was a key.

    A process with the old first key may store values meanwhile, so this goes through all of them
    until it finds none to turn over.
    """
    assert keyring.first is not None
    done = Rekeyed()
    for _ in range(MAX_PASSES):
        before = done.turned.total()
        done.problems, done.failed, lost_races = [], 0, 0
        for kind, row in _rows(database, on_progress):
            lost_races += not _turn(database, keyring, kind, row, done)
        if done.turned.total() == before and not lost_races:
            done.is_complete = True
            break
    return done


def count_by_key(database: Database, *, on_progress: Progress | None = None) -> Mapping[str, int]:
    """Return how many secrets there are under each key, by its name, and as plain text."""
    return _counted(_rows(database, on_progress))


def sample_by_key(database: Database) -> Mapping[str, int]:
    """Return the same of some states of builds. Their ids are random, so the first ones will do."""
    states = STATES[0]
    return _counted((states, row) for row in _batch(database, states, states.first, ""))


def _counted(rows: Iterable[tuple[Kind, Row[Any]]]) -> Mapping[str, int]:
    names = Counter(_key_name(kind, row) for kind, row in rows)
    return {name: count for name, count in names.items() if name}


def _key_name(kind: Kind, row: Row[Any]) -> str | None:
    """Return the name of the key that a value is sealed with; None if it is not a secret."""
    try:
        head = _sealed_head(kind, row)
    except SealedError:
        return BROKEN
    if head is not None:
        return key_id_of(head).hex()
    return PLAIN if isinstance(kind, States) or row.is_secret else None


def _rows(database: Database, on_progress: Progress | None) -> Iterator[tuple[Kind, Row[Any]]]:
    for kind in (*STATES, *TEXTS):
        after, after_name, seen = kind.first, "", 0
        while True:
            rows = _batch(database, kind, after, after_name)
            yield from ((kind, row) for row in rows)
            seen += len(rows)
            if on_progress:
                on_progress(kind.noun, seen)
            if len(rows) < BATCH:
                break
            after, after_name = rows[-1].id, rows[-1].name


def _batch(database: Database, kind: Kind, after: object, after_name: str) -> Sequence[Row[Any]]:
    key = {"after": after, "after_name": after_name, "limit": BATCH, "head": HEAD_BYTES}
    with database.begin() as session:
        return session.execute(kind.scan, _named(kind.scan, key)).all()


def _named(statement: TextClause, values: Mapping[str, object]) -> Mapping[str, object]:
    """Return the values that the statement names."""
    return {name: value for name, value in values.items() if f":{name}" in statement.text}


def _sealed_head(kind: Kind, row: Row[Any]) -> bytes | None:
    """Return the first bytes of a sealed value; None if it is plain.

    Raises:
        SealedError: it only begins like a sealed one.
    """
    if isinstance(kind, States):
        return row.head if is_sealed(row.head) else None
    return bytes_form(row.value, kind.place(row)) if is_sealed_text(row.value) else None


def _is_due(kind: Kind, row: Row[Any], first: Key) -> bool:
    head = _sealed_head(kind, row)
    if head is None:
        return isinstance(kind, States) or row.is_secret
    return key_id_of(head) != first.id


def _turn(database: Database, keyring: Keyring, kind: Kind, row: Row[Any], done: Rekeyed) -> bool:
    """Turn one value over if it is due; return False if somebody else has changed it meanwhile."""
    first = keyring.first
    assert first is not None
    try:
        if not _is_due(kind, row, first):
            return True
        with database.begin() as session:
            if isinstance(kind, States):
                is_written = _turn_state(session, keyring, first, kind, row)
            else:
                is_written = _turn_text(session, keyring, first, kind, row)
    except SealedError as error:
        done.failed += 1
        done.problems = [*done.problems, str(error)][:MAX_PROBLEMS]
        return True
    except DBAPIError as error:
        if not is_outage(error):
            raise
        return False  # a build has the row locked
    done.turned[kind.noun] += is_written
    return is_written


def _turn_state(
    session: Session, keyring: Keyring, first: Key, kind: States, row: Row[Any]
) -> bool:
    place = kind.place(row)
    if is_sealed(row.head):
        new = {"new": rewrap(keyring, place, row.head), "old": row.head}
        return session.execute(kind.rewrap, {"id": row.id, **new}).first() is not None
    data = session.execute(kind.read, {"id": row.id}).scalar_one_or_none()
    if data is None or is_sealed(data):
        return False
    new = {"new": seal(first, place, decompress(data, place), row=row.row_id), "old": data}
    return session.execute(kind.seal, {"id": row.id, **new}).first() is not None


def _turn_text(session: Session, keyring: Keyring, first: Key, kind: Texts, row: Row[Any]) -> bool:
    place = kind.place(row)
    if is_sealed_text(row.value):
        sealed = bytes_form(row.value, place)
        new = rewrap(keyring, place, sealed) + sealed[WRAP_BYTES:]
    else:
        new = seal(first, place, row.value.encode(), row=row.row_id)
    values = {"id": row.id, "name": row.name, "old": row.value, "new": text_form(new)}
    return session.execute(kind.write, _named(kind.write, values)).first() is not None
