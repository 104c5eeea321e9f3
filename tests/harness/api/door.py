"""A running API, its users, and clients of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from api.site import Site
from db.catalog.people import set_member_roles, set_site_roles
from db.catalog.tokens import create_token
from db.schema.enums import TokenScope
from db.schema.tables import Organization, User
from tests.harness.api.client import Client
from tests.harness.api.coder import Coder
from tests.harness.factory import Factory


@dataclass(kw_only=True)
class Door:
    """A running API, and clients of it."""

    url: str
    site: Site
    factory: Factory
    organization: Organization
    clients: list[Client] = field(default_factory=list)

    def user(
        self, *roles: str, name: str | None = None, member_of: Organization | None = None
    ) -> User:
        """A user with these roles in the site, or in the organization."""
        home = member_of or self.organization
        user = self.factory.user(organization=home, username=name)
        with self.factory.database.begin() as session:
            row = session.get_one(User, user.id)
            site = [role for role in roles if not role.startswith("organization-")]
            set_site_roles(session, row, site)
            set_member_roles(session, row, home, [role for role in roles if role not in site])
        return user

    def token(self, user: User, scope: TokenScope = TokenScope.ADMIN, **facts: Any) -> str:
        with self.factory.database.begin() as session:
            return create_token(session, user_id=user.id, scope=scope, **facts).text

    def client(self, user: User | None = None, **facts: Any) -> Client:
        """A client of a user, or one without a token."""
        return self.client_of(self.token(user, **facts) if user else "")

    def client_of(self, token: str) -> Client:
        """A client that sends this token."""
        made = Client(self.url, token)
        self.clients.append(made)
        return made

    def coder(self, user: User) -> Coder:
        """The command line of Coder, with which the user has logged in."""
        made = Coder.login(self.url, self.token(user))
        self.clients.append(made.client)
        return made

    def expired(self, user: User) -> str:
        return self.token(user, lifetime=timedelta(microseconds=1))
