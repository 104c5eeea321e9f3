"""Pages and searches in query strings."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from api.errors import refused

MAX_QUERY = 1000
MAX_NUMBER = 2**31 - 1
Search = Annotated[str, Query(max_length=MAX_QUERY, description="terms, such as owner:me")]
_TERM = re.compile(r'(?:(?P<key>[a-z_-]+):)?(?P<value>"[^"]*"|\S+)')


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted."""

    limit: int = 0  #: 0: all
    offset: int = 0
    after_id: UUID | None = None


async def _page(
    limit: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="0 means all")] = 0,
    offset: Annotated[int, Query(ge=0, le=MAX_NUMBER)] = 0,
    after_id: Annotated[UUID | None, Query()] = None,
) -> Page:
    return Page(limit, offset, after_id)


Paged = Annotated[Page, Depends(_page)]


class _Identified(Protocol):
    @property
    def id(self) -> UUID: ...


Item = TypeVar("Item", bound=_Identified)


def part_of(items: Sequence[Item], page: Page) -> list[Item]:
    """Return the part of a whole list that is wanted; nothing after an id that is not in it."""
    start = page.offset
    if page.after_id is not None:
        ids = [item.id for item in items]
        if page.after_id not in ids:
            return []
        start += ids.index(page.after_id) + 1
    return list(items[start : start + page.limit if page.limit else None])


def terms_of(query: str, *, known: Collection[str], bare: str) -> dict[str, str]:
    """Return the terms ``key:value`` of a search, in lower case.

    Args:
        bare: the key that a word without one has.

    Raises:
        ApiError: a key is not known, or is given twice.
    """
    terms: dict[str, str] = {}
    for found in _TERM.finditer(query.lower()):
        key = found["key"] or bare
        if key not in known:
            raise refused("Invalid search query.", f'"{key}" is not a valid query param', field=key)
        if key in terms:
            raise refused("Invalid search query.", f'"{key}" is given twice', field=key)
        terms[key] = found["value"].strip('"')
    return terms
