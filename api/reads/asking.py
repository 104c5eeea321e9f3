"""What a question is, and the users who ask."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, get_args

from api.caller import Right
from db.errors import RequestError
from db.reads.sight import Sight

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.engine import Reader

Answer = TypeVar("Answer")
MAX_ROWS = 10_001  #: of a list; one more than a command shows, so that it knows of more
USUAL_ROWS = 200


class RightMissingError(RequestError):
    """The viewer may not read this at all. The message says who may."""


class Viewer(Protocol):
    """A user who reads, and what the user's roles allow."""

    @property
    def user_id(self) -> uuid.UUID:
        """The user."""

    def may(self, right: Right, organization_id: uuid.UUID) -> bool:
        """Return whether the user has the right in the organization."""

    def may_everywhere(self, right: Right) -> bool:
        """Return whether the user has the right in all organizations."""

    def organizations_with(self, right: Right) -> list[uuid.UUID] | None:
        """Return the organizations in which the user has the right; None for all."""


class Operator:
    """The viewer who has the database itself, and so sees everything."""

    user_id = uuid.UUID(int=0)

    def may(self, right: Right, organization_id: uuid.UUID) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def may_everywhere(self, right: Right) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def organizations_with(self, right: Right) -> list[uuid.UUID] | None:  # noqa: ARG002
        """Return None, which means all."""
        return None


class Read(Generic[Answer]):
    """A question; its fields are the parameters. Each kind of question is a frozen dataclass."""

    #: Of its route. All parameters are in the query, where every text keeps its place.
    path: ClassVar[str]

    @abstractmethod
    def answer(self, session: Session, viewer: Viewer) -> Answer:
        """Return the answer for a viewer.

        Raises:
            RequestError: a parameter names what does not exist for the viewer, or is not allowed.
        """
        raise NotImplementedError

    @classmethod
    def answer_type(cls) -> Any:
        """Return the type of the answers."""
        return get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]


class PlainRead(Read[Answer]):
    """A question that plain statements answer, without the ORM."""

    @abstractmethod
    def answer(self, session: Reader, viewer: Viewer) -> Answer:
        """Return the answer for a viewer."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RowList(Read[list[Answer]]):
    """A question for the rows that a viewer sees by a right."""

    limit: int = USUAL_ROWS
    rows: ClassVar[Callable[..., Sequence[Any]]]  #: takes a session, a sight and a limit
    right: ClassVar[Right]
    refusal: ClassVar[str] = ""  #: for a viewer who has the right nowhere; empty: there are none

    def answer(self, session: Session, viewer: Viewer) -> list[Answer]:
        """Return the rows."""
        sight = (
            sight_by_right(viewer, self.right, self.refusal)
            if self.refusal
            else sight_of(viewer, self.right)
        )
        return list(type(self).rows(session, sight=sight, limit=self.limit))

    @classmethod
    def answer_type(cls) -> Any:
        """Return the type of the answers."""
        return list[super().answer_type()]  # type: ignore[misc]


def sight_of(viewer: Viewer, right: Right) -> Sight:
    """Return what a viewer sees by a right, in addition to what is their own."""
    return Sight(organizations=viewer.organizations_with(right), user_id=viewer.user_id)


def sight_by_right(viewer: Viewer, right: Right, refusal: str) -> Sight:
    """Return what a viewer sees by a right, and nothing of their own.

    Raises:
        RightMissingError: the viewer has the right nowhere; the message is ``refusal``.
    """
    organizations = viewer.organizations_with(right)
    if organizations == []:
        raise RightMissingError(refusal)
    return Sight(organizations=organizations)
