"""An authorization that counts who is authorized, and may fail or hang first."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from chattool import AuthorizedOwner, OwnerAuthorization, StoredAuthorization


@dataclass(kw_only=True)
class CountingAuthorization:
    """Counts who is authorized, and may fail or hang before it asks the inner one."""

    inner: OwnerAuthorization = field(default_factory=StoredAuthorization)
    before: Callable[[], None] = lambda: None
    owners: list[uuid.UUID] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How often somebody asked."""
        return len(self.owners)

    def authorize(
        self, session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
    ) -> AuthorizedOwner:
        """Count, do what the test wants, then ask the inner one."""
        self.owners.append(owner_id)
        self.before()
        return self.inner.authorize(session, owner_id=owner_id, organization_id=organization_id)
