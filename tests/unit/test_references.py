"""How a workspace is named on the command line."""

from __future__ import annotations

import click
import pytest

from cli.reference import OWNER, owner_and_name, owner_and_name_wanted


@pytest.fixture(autouse=True)
def _no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OWNER, raising=False)


@pytest.mark.parametrize(
    ("reference", "owner"),
    [
        pytest.param("alice/box", None, id="whole"),
        pytest.param("box", "alice", id="with an owner"),
        pytest.param("alice/box", "Alice", id="with the same owner"),
    ],
)
def test_a_workspace_is_named_in_two_ways(reference: str, owner: str | None) -> None:
    found, name = owner_and_name(reference, owner)

    assert (found.lower(), name) == ("alice", "box")


def test_a_plain_name_belongs_to_the_owner_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(OWNER, "bob")

    assert owner_and_name("box", None) == ("bob", "box")
    assert owner_and_name("box", "alice") == ("alice", "box")
    assert owner_and_name("alice/box", None) == ("alice", "box")


@pytest.mark.parametrize("value", [None, ""])
def test_a_plain_name_without_an_owner_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv(OWNER, value)

    with pytest.raises(click.UsageError, match="needs an owner: give OWNER/NAME"):
        owner_and_name("box", None)


def test_two_owners_are_refused() -> None:
    with pytest.raises(click.UsageError, match="the owner is given twice"):
        owner_and_name("alice/box", "bob")


def test_a_filter_takes_either_form() -> None:
    assert owner_and_name_wanted(None, "alice/box") == ("alice", "box")
    assert owner_and_name_wanted(None, "box") == (None, "box")
    assert owner_and_name_wanted("alice", None) == ("alice", None)
