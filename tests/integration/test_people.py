from __future__ import annotations

import pytest
from sqlalchemy import text

from db.catalog.people import (
    EVERYONE,
    MAX_ALLOWANCE,
    add_group_member,
    create_group,
    create_organization,
    create_user,
    get_group,
    get_organization,
    get_user,
    remove_group_member,
    set_quota_allowance,
    set_user_status,
)
from db.errors import ConflictError, InvalidError, NotFoundError
from db.schema.enums import UserStatus
from db.schema.tables import Group, User
from quota.usage import allowance
from tests.harness.factory import Factory


def test_an_organization_has_an_everyone_group_of_its_own_id(factory: Factory) -> None:
    organization = factory.organization(everyone_allowance=3)
    with factory.database.begin() as session:
        everyone = session.get_one(Group, organization.id)
    assert (everyone.name, everyone.quota_allowance) == (EVERYONE, 3)


@pytest.mark.parametrize("name", ["acme", "ACME"])
def test_a_second_organization_of_a_name_is_refused(factory: Factory, name: str) -> None:
    factory.organization(name="acme")
    with pytest.raises(ConflictError, match=f"there is already an organization '{name}'"):
        factory.organization(name=name)


def test_a_second_default_organization_is_refused_for_what_it_is(factory: Factory) -> None:
    with factory.database.begin() as session:
        create_organization(session, name="one", is_default=True)
        with pytest.raises(ConflictError, match="there is already a default organization"):
            create_organization(session, name="two", is_default=True)


def test_a_refusal_leaves_the_transaction_usable(factory: Factory) -> None:
    with factory.database.begin() as session:
        create_user(session, username="ann")
        with pytest.raises(ConflictError):
            create_user(session, username="ann")
        assert get_user(session, "ann").username == "ann"


def test_without_a_name_the_default_organization_is_meant(factory: Factory) -> None:
    factory.organization(name="older")
    with factory.database.begin() as session:
        create_organization(session, name="chosen", is_default=True)
        assert get_organization(session).name == "chosen"


def test_without_a_default_the_oldest_organization_is_meant(factory: Factory) -> None:
    factory.organization(name="older")
    factory.organization(name="newer")
    with factory.database.begin() as session:
        assert get_organization(session).name == "older"


def test_names_are_found_in_any_case(factory: Factory) -> None:
    organization = factory.organization(name="Acme")
    factory.user(username="Ann")
    factory.group(organization=organization, name="Dev")
    with factory.database.begin() as session:
        assert get_organization(session, "aCME").name == "Acme"
        assert get_user(session, "aNN").username == "Ann"
        assert get_group(session, name="dEV", organization=organization).name == "Dev"


def test_what_is_not_there_is_not_found(factory: Factory) -> None:
    organization = factory.organization()
    with factory.database.begin() as session:
        with pytest.raises(NotFoundError, match="there is no organization 'x'"):
            get_organization(session, "x")
        with pytest.raises(NotFoundError, match="`provisionerd user create x` makes one"):
            get_user(session, "x")
        with pytest.raises(NotFoundError, match="there is no group 'x'"):
            get_group(session, name="x", organization=organization)


def test_an_empty_database_has_no_organization(factory: Factory) -> None:
    with (
        factory.database.begin() as session,
        pytest.raises(NotFoundError, match="there is no organization yet"),
    ):
        get_organization(session)


@pytest.mark.parametrize("name", ["dev", "DEV"])
def test_a_second_group_of_a_name_is_refused(factory: Factory, name: str) -> None:
    organization = factory.organization()
    factory.group(organization=organization, name="dev")
    with pytest.raises(ConflictError, match=f"there is already a group '{name}'"):
        factory.group(organization=organization, name=name)


def test_another_organization_may_have_a_group_of_that_name(factory: Factory) -> None:
    for _ in range(2):
        assert factory.group(organization=factory.organization(), name="dev").name == "dev"


def test_the_name_of_a_deleted_user_is_free(factory: Factory) -> None:
    factory.user(username="ann")
    with factory.database.begin() as session:
        session.execute(text("UPDATE users SET deleted = true"))
    assert factory.user(username="ann").username == "ann"


@pytest.mark.parametrize("given", [-1, MAX_ALLOWANCE + 1])
def test_an_allowance_out_of_range_is_refused(factory: Factory, given: int) -> None:
    organization = factory.organization()
    with factory.database.begin() as session:
        group = get_group(session, name=EVERYONE, organization=organization)
        with pytest.raises(InvalidError, match="a quota allowance is a whole number from 0 to"):
            set_quota_allowance(session, group, given)
        with pytest.raises(InvalidError):
            create_group(session, name="x", organization=organization, quota_allowance=given)


def budget(factory: Factory, user: User, group: Group) -> int:
    with factory.database.begin() as session:
        return allowance(session, organization_id=group.organization_id, owner_id=user.id)


def test_a_member_has_the_groups_allowance_until_removed(factory: Factory) -> None:
    organization = factory.organization(everyone_allowance=1)
    user = factory.user(organization=organization)
    group = factory.group(organization=organization, allowance=2)
    budgets = [budget(factory, user, group)]
    for change in (add_group_member, add_group_member, remove_group_member, remove_group_member):
        with factory.database.begin() as session:
            change(session, group=group, user=user)
        budgets.append(budget(factory, user, group))
    assert budgets == [1, 3, 3, 1, 1]


def test_nobody_is_added_to_everyone(factory: Factory) -> None:
    organization = factory.organization()
    user = factory.user(organization=organization)
    with factory.database.begin() as session:
        everyone = session.get_one(Group, organization.id)
        with pytest.raises(ConflictError, match="is in its Everyone group already"):
            add_group_member(session, group=everyone, user=user)


def test_a_stranger_to_the_organization_joins_none_of_its_groups(factory: Factory) -> None:
    group = factory.group(organization=factory.organization())
    stranger = factory.user()
    with factory.database.begin() as session, pytest.raises(ConflictError, match="not a member"):
        add_group_member(session, group=group, user=stranger)


def test_who_leaves_the_organization_leaves_its_groups(factory: Factory) -> None:
    organization = factory.organization()
    user = factory.user(organization=organization)
    factory.group(organization=organization, members=[user])
    with factory.database.begin() as session:
        session.execute(text("DELETE FROM organization_members"))
        assert session.execute(text("SELECT count(*) FROM group_members")).scalar_one() == 0


def test_a_status_is_stored(factory: Factory) -> None:
    user = factory.user(username="ann")
    with factory.database.begin() as session:
        set_user_status(session, session.get_one(User, user.id), UserStatus.SUSPENDED)
    with factory.database.begin() as session:
        assert get_user(session, "ann").status is UserStatus.SUSPENDED
