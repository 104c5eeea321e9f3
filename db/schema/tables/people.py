"""Organizations, users, groups, and the accounts of quota commits."""

from __future__ import annotations

import uuid

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import GroupSource, LoginType, UserStatus
from db.schema.tables.base import (
    Base,
    CreatedAt,
    OrganizationFk,
    UpdatedAt,
    UserFk,
    UuidPk,
    unique_until_deleted,
)


class Organization(Base):
    """A tenant. Its Everyone group has the same id (``create_organization`` in the catalog)."""

    __tablename__ = "organizations"

    id: Mapped[UuidPk]
    name: Mapped[str]
    display_name: Mapped[str] = mapped_column(server_default="")
    description: Mapped[str] = mapped_column(server_default="")
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        Index("uq_organizations_name", text("lower(name)"), unique=True),
        Index("uq_organizations_default", "is_default", unique=True, postgresql_where="is_default"),
    )


class User(Base):
    """A person, or the prebuilds system user."""

    __tablename__ = "users"

    id: Mapped[UuidPk]
    username: Mapped[str]
    email: Mapped[str] = mapped_column(server_default="")
    name: Mapped[str] = mapped_column(server_default="")
    status: Mapped[UserStatus] = mapped_column(server_default=UserStatus.ACTIVE.value)
    login_type: Mapped[LoginType] = mapped_column(server_default=LoginType.PASSWORD.value)
    rbac_roles: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    avatar_url: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (unique_until_deleted("uq_users_username", text("lower(username)")),)


class OrganizationMember(Base):
    """A member of an organization, and so of its Everyone group."""

    __tablename__ = "organization_members"

    organization_id: Mapped[OrganizationFk] = mapped_column(primary_key=True)
    user_id: Mapped[UserFk] = mapped_column(primary_key=True, index=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class Group(Base):
    """A set of users. Each of them gets ``quota_allowance`` credits per day from it."""

    __tablename__ = "groups"

    id: Mapped[UuidPk]
    name: Mapped[str]
    organization_id: Mapped[OrganizationFk]
    avatar_url: Mapped[str] = mapped_column(server_default="")
    quota_allowance: Mapped[int] = mapped_column(server_default=text("0"))
    display_name: Mapped[str] = mapped_column(server_default="")
    source: Mapped[GroupSource] = mapped_column(server_default=GroupSource.USER.value)

    __table_args__ = (
        Index(
            "uq_groups_name_organization_id", text("lower(name)"), "organization_id", unique=True
        ),
        Index("ix_groups_organization_id", "organization_id"),
        CheckConstraint("quota_allowance >= 0", name="quota_allowance_not_negative"),
    )


class GroupMember(Base):
    """An explicit member of a group. The Everyone group has no such rows."""

    __tablename__ = "group_members"

    user_id: Mapped[UserFk] = mapped_column(primary_key=True)
    group_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class QuotaAccount(Base):
    """The row that quota commits of one owner in one organization lock, so that they take turns."""

    __tablename__ = "quota_accounts"

    organization_id: Mapped[OrganizationFk] = mapped_column(primary_key=True)
    owner_id: Mapped[UserFk] = mapped_column(primary_key=True)
