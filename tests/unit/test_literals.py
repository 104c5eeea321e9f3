"""Values of template variables, as somebody writes them and as they are stored."""

from __future__ import annotations

import pytest

from db.jobs.declarations import TemplateVariable
from provisioner.engines.terraform.hcl import TemplateError
from provisioner.template.literals import as_stored


def variable(kind: str, *, sensitive: bool = False) -> TemplateVariable:
    return TemplateVariable(name="v", required=False, type=kind, sensitive=sensitive)


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        pytest.param("string", '{ a = "b" }', '{ a = "b" }', id="text"),
        pytest.param("string", "", "", id="empty text"),
        pytest.param("number", "5", "5", id="number"),
        pytest.param("bool", "true", "true", id="bool"),
        pytest.param("list(string)", '["a"]', '["a"]', id="JSON"),
        pytest.param(
            "map(string)",
            '{ env = "dev", "team" = "x", }',
            '{"env": "dev", "team": "x"}',
            id="HCL",
        ),
        pytest.param("object({a=number})", "{\n a = 1\n}", '{"a": 1}', id="HCL in lines"),
        pytest.param("any", "null", "null", id="null"),
        pytest.param("map(string)", '{ a = "$${b}" }', '{"a": "${b}"}', id="escaped"),
    ],
)
def test_a_value_is_stored_as_text_or_json(kind: str, text: str, stored: str) -> None:
    assert as_stored([variable(kind)], {"v": text}) == {"v": stored}


def test_a_value_of_another_variable_is_left_out() -> None:
    assert as_stored([variable("string")], {"other": "x"}) == {}


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        pytest.param("map(string)", "[nonsense", "'v' is neither JSON nor a literal", id="syntax"),
        pytest.param("list(string)", "[var.a]", "Variables not allowed", id="reference"),
        pytest.param("any", 'file("/etc/passwd")', "Function calls not allowed", id="function"),
        pytest.param("any", "[1]\nother = 2", "it is more than one value", id="two values"),
        pytest.param("list(string)", "[\0]", "it holds a NUL character", id="NUL"),
        pytest.param("map(string)", '["a"]', "'v' is wrong: it must be a map", id="shape"),
        pytest.param("number", "abc", 'it must be a number, not "abc"', id="number"),
        pytest.param("bool", "yes", 'it must be a bool, not "yes"', id="bool"),
    ],
)
def test_a_value_that_can_never_be_right_is_refused(kind: str, text: str, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        as_stored([variable(kind)], {"v": text})
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["hunter2", "[hunter2", "{ a = hunter2 }", '"hunter2"'])
def test_a_secret_is_not_quoted(text: str) -> None:
    for kind in ("number", "list(number)"):
        with pytest.raises(TemplateError) as caught:
            as_stored([variable(kind, sensitive=True)], {"v": text})
        assert "hunter2" not in str(caught.value)
