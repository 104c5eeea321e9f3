"""What a Terraform variable of a type can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.parameters.constraint import is_primitive, read_type
from db.parameters.types import ANY, Type, misfit

STRING = Type(name="string")
OBJECT = """object({
  # the size
  name  = string
  ports = optional(list(number), [80, 443]), "tags": map(string)
  more  = optional(object({ a = any }))
})"""
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("string", STRING),
        ("any", ANY),
        ("list(string)", Type(name="list", items=(STRING,))),
        ("set( string )", Type(name="set", items=(STRING,))),
        ("list", Type(name="list", items=(ANY,))),
        ("tuple([string, any])", Type(name="tuple", items=(STRING, ANY))),
        ("object({})", Type(name="object")),
        ("object({a=string})", Type(name="object", members={"a": STRING})),
    ],
)
def test_a_constraint_is_read(text: str, expected: Type) -> None:
    assert read_type(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "strange",
        "list(",
        "list(string",
        "list(string) x",
        "object({a})",
        "list(" * 99 + "string" + ")" * 99,
    ],
)
def test_a_constraint_that_cannot_be_read_allows_everything(text: str) -> None:
    assert read_type(text) == ANY


@given(text=st.text(alphabet='listmap(){}[]=,:" \nobject#optional'))
def test_reading_any_text_ends(text: str) -> None:
    read_type(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("string", "x"),
        ("string", 1),
        ("string", None),
        ("number", 1.5),
        ("number", "-1e3"),
        ("bool", True),
        ("bool", "false"),
        ("any", [{}]),
        ("list(number)", [1, "2"]),
        ("map(list(bool))", {"a": [True]}),
        ("tuple([string, number])", ["a", 1]),
        (OBJECT, {"name": "a", "tags": {}}),
        (OBJECT, {"name": "a", "tags": {"x": "y"}, "ports": [1], "more": {"a": []}, "other": 1}),
    ],
)
def test_a_value_that_can_be_right_is_taken(text: str, value: object) -> None:
    assert misfit(read_type(text), value) == ""


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("string", [], "must be a string, not a list"),
        ("number", "abc", 'must be a number, not "abc"'),
        ("number", True, 'must be a number, not "true"'),
        ("bool", "yes", 'must be a bool, not "yes"'),
        ("list(string)", {}, "must be a list, not a map"),
        ("map(string)", "x", 'must be a map, not "x"'),
        ("list(number)", [1, "x"], 'element 1 must be a number, not "x"'),
        ("map(number)", {"a": []}, 'element "a" must be a number, not a list'),
        ("tuple([string])", [], "must have 1 elements, not 0"),
        (OBJECT, {"tags": {}}, 'must have the attribute "name"'),
        (
            OBJECT,
            {"name": "a", "tags": {}, "ports": ["x"]},
            'attribute "ports" element 0 must be a number, not "x"',
        ),
    ],
)
def test_a_value_that_can_never_be_right_is_explained(text: str, value: Any, words: str) -> None:
    assert misfit(read_type(text), value) == words


@given(value=VALUES, text=st.sampled_from(("string", "list(number)", "map(bool)", OBJECT, "any")))
def test_any_value_is_judged(value: object, text: str) -> None:
    assert isinstance(misfit(read_type(text), value), str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("string", True), ("number", True), ("bool", True), ("any", False), ("list(string)", False)],
)
def test_a_primitive_is_written_as_it_is(text: str, expected: bool) -> None:
    assert is_primitive(text) is expected
