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


def shown(values: list[str], pieces: list[str]) -> list[str]:
    redaction, begun, cleaned = Redaction(values), "", []
    for piece in pieces:
        text, begun = redaction.apply_to_piece(begun, piece)
        cleaned.append(text)
    return cleaned


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a s3cret-tok", "en b"], ["a *redacted*", "*redacted* b"]),
        (["a s3c", "ret-token b"], ["a s3c", "*redacted* b"]),
        (["s3cr", "et-t", "oken"], ["*redacted*"] * 3),
        (["s3cret-token", " b"], ["*redacted*", " b"]),
        (["s3cret-tok", "yo"], ["*redacted*", "yo"]),
        (["s3cret-tos3cret-t", "oken"], ["s3cret-to*redacted*", "*redacted*"]),
        (["a s3", "s3cret-token"], ["a s3", "*redacted*"]),
        (["s3cret-to", "", "ken"], ["*redacted*", "", "*redacted*"]),
        (["get https://a:b@h", "/x"], ["get https://*redacted*@h", "/x"]),
    ],
)
def test_a_value_in_pieces_is_replaced(pieces: list[str], expected: list[str]) -> None:
    assert shown(["s3cret-token"], pieces) == expected


def test_letters_that_come_one_by_one_show_no_more_than_three() -> None:
    cleaned = "".join(shown(["s3cret-token"], list("<s3cret-token>")))
    assert cleaned == "<s3c" + "*redacted*" * 9 + ">"


def test_the_end_of_a_value_is_replaced_where_a_text_was_cut() -> None:
    redaction = Redaction(["s3cret-token"])
    assert redaction.apply_to_tail("et-token, s3cret-token") == "*redacted*, *redacted*"
    assert redaction.apply_to_tail("ken, s3cret-token") == "ken, *redacted*"
    assert Redaction([]).apply_to_tail("et-token") == "et-token"


def test_a_value_of_megabytes_is_hidden_in_its_parts_and_costs_little() -> None:
    lines = [f"line-{number:06}-of-a-long-secret" for number in range(100_000)]
    redaction = Redaction(["\n".join(lines), "y" * 1_000_000])
    assert redaction.apply(f"shown: {lines[7]}") == "shown: *redacted*"
    assert "y" * 100 not in redaction.apply("y" * 8192)
    assert len(redaction._forms) < 3000
