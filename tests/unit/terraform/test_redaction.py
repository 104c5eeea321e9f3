"""Sensitive values never reach a log or an error."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from provisioner.engines.terraform.redaction import Redaction

SECRET = 'p&ss "wörd"\\1'


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(json.dumps(SECRET), id="in JSON"),
        pytest.param(json.dumps(SECRET, ensure_ascii=False), id="in JSON with UTF-8"),
        pytest.param(json.dumps(SECRET).replace("&", "\\u0026").replace("\\u00f6", "ö"), id="Go"),
        pytest.param(f"https://user:{quote(SECRET, safe='')}@host", id="in a URL"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="in base64"),
        pytest.param(SECRET * 3, id="repeated"),
    ],
)
def test_a_value_is_replaced_in_every_form(shown: str) -> None:
    text = Redaction([SECRET]).apply(f"a {shown} b")
    assert "*redacted*" in text
    assert not any(part in text for part in ("wörd", "w%C3", "cCZzcyA", "w\\u00f6rd"))


def test_each_line_of_a_private_key_is_replaced() -> None:
    redaction = Redaction(["-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"])
    assert redaction.apply("local-exec: MIIEvQIBADANBg") == "local-exec: *redacted*"


def test_a_value_that_is_the_head_of_another_does_not_uncover_the_rest() -> None:
    assert Redaction(["hunter", "hunter2-long"]).apply("hunter2-long") == "*redacted*"


@pytest.mark.parametrize("values", [[], [""], ["dev"], ["1"]])
def test_values_too_short_to_be_secrets_leave_the_text_alone(values: list[str]) -> None:
    assert Redaction(values).apply("dev 1 of 2") == "dev 1 of 2"
