"""Sensitive values never reach a log or an error."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from provisioner.redaction.redaction import Redaction

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


@pytest.mark.parametrize("offset", range(4))
def test_a_value_within_a_longer_encoded_text_is_replaced(offset: int) -> None:
    secret = b"correct-horse-battery"
    shown = base64.b64encode(b"x" * offset + secret + b"y").decode()
    cleaned = Redaction([secret.decode()]).apply(f"Authorization: Basic {shown}")
    assert "*redacted*" in cleaned
    longest = max(cleaned.removeprefix("Authorization: Basic ").split("*redacted*"), key=len)
    assert len(longest) <= 2 * (offset + 2)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("get https://bob:pw@host/x", "get https://*redacted*@host/x"),
        ("get https://token@host/x", "get https://*redacted*@host/x"),
        ("get https://bob:p@w@host/x", "get https://*redacted*@host/x"),
        ("git::ssh://git@host/x", "git::ssh://git@host/x"),
        ("https://host/a@b and me@example.com", "https://host/a@b and me@example.com"),
        ("postgresql://u:p%40@[::1]:5432/d", "postgresql://*redacted*@[::1]:5432/d"),
    ],
)
def test_names_and_passwords_in_urls_are_masked(text: str, cleaned: str) -> None:
    assert Redaction([]).apply(text) == cleaned


@pytest.mark.parametrize("word", ["true", "false", "null", "abc", ""])
def test_words_that_occur_everywhere_are_kept(word: str) -> None:
    assert Redaction([word]).apply(f"is {word}, abcd") == f"is {word}, abcd"


def test_thousands_of_values_are_replaced_quickly() -> None:
    values = [f"value-{number:05}-{'x' * 20}" for number in range(500)]
    redaction = Redaction(values)
    assert redaction.apply(" ".join(values)) == " ".join(["*redacted*"] * 500)


def test_values_that_begin_with_each_other_are_replaced() -> None:
    values = ["ab" * length for length in range(2, 200)]
    assert Redaction(values).apply(values[-1]) == "*redacted*"
