from __future__ import annotations

import pytest

from db.catalog.names import NAME_LIMIT, check_name
from db.errors import InvalidError
from db.texts import check_storable, storable


@pytest.mark.parametrize("name", ["a", "A1", "dev-box", "a-1-b", "x" * NAME_LIMIT])
def test_letters_and_digits_joined_by_single_hyphens_are_a_name(name: str) -> None:
    assert check_name("workspace", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "a-",
        "a--b",
        "a_b",
        "a b",
        "a.b",
        "a\n",
        "\u00e9",
        "../etc",
        "a\x00",
        "\u0661",
        "x" * (NAME_LIMIT + 1),
    ],
    ids=ascii,
)
def test_anything_else_is_refused_by_a_sentence_that_quotes_it(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_name("workspace", name)
    assert str(refused.value).startswith(f"{name!r} cannot name a workspace: ")


@pytest.mark.parametrize("name", ["new", "create", "New"])
def test_a_name_that_means_something_else_to_clients_is_reserved(name: str) -> None:
    with pytest.raises(InvalidError, match="is reserved and cannot name a workspace"):
        check_name("workspace", name)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain \u00e9 \U0001f600", "plain \u00e9 \U0001f600"),
        ("a\x00b", "a\u2400b"),
        ("\ud800 alone", "? alone"),
    ],
    ids=["plain", "nul", "surrogate"],
)
def test_text_of_others_is_stored_with_signs_for_what_cannot_be(text: str, stored: str) -> None:
    assert storable(text) == stored


@pytest.mark.parametrize("text", ["a\x00b", "\udc80"], ids=["nul", "surrogate"])
def test_text_of_a_caller_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="the value of size contains"):
        check_storable("value of size", text)
