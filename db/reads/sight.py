"""Which rows a reader may see: those of some organizations, and the reader's own."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a reader sees."""

    organizations: Collection[uuid.UUID] | None = None  #: None: everything
    user_id: uuid.UUID | None = None  #: the reader, who sees what is their own

    @property
    def values(self) -> dict[str, object]:
        """The parameters of a statement that has the condition of ``seen``."""
        limited = None if self.organizations is None else list(self.organizations)
        return {"seen_organizations": limited, "seen_by": self.user_id}


EVERYTHING = Sight()


def seen(organization: str, owner: str = "NULL") -> str:
    """Return the SQL condition that a reader sees a row.

    Args:
        organization: the column of the row's organization.
        owner: the column of the user that the row belongs to.
    """
    return (
        "(CAST(:seen_organizations AS uuid[]) IS NULL"
        f" OR {organization} = ANY(:seen_organizations)"
        f" OR {owner} = CAST(:seen_by AS uuid))"
    )
