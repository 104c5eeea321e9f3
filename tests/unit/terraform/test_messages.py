"""What is read out of Terraform's JSON lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from db.schema.enums import LogLevel
from provisioner.engines.terraform.messages import (
    MAX_EXPLANATION,
    STATE_DUMP,
    Diagnostic,
    Message,
    parse_message,
    plain_text,
)

APPLY_START = (
    '{"@level":"info","@message":"terraform_data.dev[0]: Creating...","@module":"terraform.ui",'
    '"@timestamp":"2026-11-23T08:40:24.489723Z","hook":{"resource":{"addr":"terraform_data.dev[0]",'
    '"module":"","resource":"terraform_data.dev[0]","implied_provider":"terraform",'
    '"resource_type":"terraform_data","resource_name":"dev","resource_key":0},"action":"create"},'
    '"type":"apply_start"}'
)
DIAGNOSTIC = {
    "severity": "error",
    "summary": "Error creating machine",
    "detail": "insufficient quota\nin us-east1",
    "address": "ledger_machine.dev",
    "range": {"filename": "main.tf", "start": {"line": 12, "column": 3, "byte": 84}},
    "snippet": {
        "context": 'resource "ledger_machine" "dev"',
        "code": "  zone = var.zone",
        "start_line": 12,
        "values": [{"traversal": "var.zone", "statement": 'is "us-east1"'}],
    },
}


def line(**fields: object) -> str:
    return json.dumps({"@level": "error", "@message": "Error: x", "type": "diagnostic", **fields})


def diagnostic(**fields: object) -> Diagnostic:
    message = parse_message(line(diagnostic={**DIAGNOSTIC, **fields}))
    assert message is not None
    assert message.diagnostic is not None
    return message.diagnostic


def test_a_hook_names_its_resource_provider_and_action() -> None:
    assert parse_message(APPLY_START) == Message(
        level=LogLevel.INFO,
        text="terraform_data.dev[0]: Creating...",
        type="apply_start",
        timestamp=datetime(2026, 11, 23, 8, 40, 24, 489723, tzinfo=UTC),
        resource="terraform_data.dev[0]",
        provider="terraform",
        action="create",
    )


@pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "error"])
def test_levels_are_taken_one_to_one(level: str) -> None:
    message = parse_message(line(**{"@level": level}))
    assert message is not None
    assert message.level == level


NO_MESSAGES = {
    "plain text": "Successfully configured the backend",
    "half a JSON line": '{"@message": "cut o',
    "JSON that is no message": '{"a": 1}',
    "a JSON list": '["@message"]',
    "a deep JSON list": "[" * 100_000,
    "a deep JSON object": '{"a":' * 100_000,
}


@pytest.mark.parametrize("text", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_is_info_text(text: str) -> None:
    assert parse_message(text) == Message(level=LogLevel.INFO, text=text)


@pytest.mark.parametrize("blank", ["", "   ", "\t"])
def test_a_blank_line_says_nothing(blank: str) -> None:
    assert parse_message(blank) is None


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"@level": 7}, id="level"),
        pytest.param({"@level": "loud"}, id="unknown level"),
        pytest.param({"@timestamp": "yesterday"}, id="timestamp"),
        pytest.param({"@timestamp": "2026-11-23T08:40:24"}, id="timestamp without a zone"),
        pytest.param({"hook": []}, id="hook"),
        pytest.param({"hook": {"resource": "x"}}, id="resource"),
        pytest.param({"diagnostic": "x"}, id="diagnostic"),
    ],
)
def test_a_field_of_the_wrong_kind_is_as_if_absent(fields: dict[str, object]) -> None:
    expected = Message(level=LogLevel.INFO, text="Error: x", type="diagnostic")
    assert parse_message(line(**{"@level": "info", **fields})) == expected


@pytest.mark.parametrize(
    "printed",
    [
        pytest.param('{"serial":3,"costs":1.10,"most":1e400}', id="numbers"),
        pytest.param('{"serial":3,"name":"\\u003ca\\u003e"}', id="escapes"),
    ],
)
def test_a_state_that_terraform_prints_is_taken_as_it_is(printed: str) -> None:
    message = parse_message(
        f'{{"@level":"info","@message":"{STATE_DUMP}","@module":"terraform.ui",'
        f'"@timestamp":"2026-11-23T08:40:24.489723Z","state":{printed},"type":"log"}}'
    )
    assert message is not None
    assert message.state == printed.encode()


@pytest.mark.parametrize("text", ["Error: x", STATE_DUMP])
def test_other_messages_hold_no_state(text: str) -> None:
    message = parse_message(line(**{"@message": text}))
    assert message is not None
    assert message.state is None


def test_an_explanation_tells_summary_detail_resource_file_and_line() -> None:
    assert diagnostic().explain() == (
        "Error creating machine: insufficient quota in us-east1 "
        "(ledger_machine.dev, main.tf line 12)"
    )


EXPLANATIONS = {
    "no place": (
        {"address": "", "range": None},
        "Error creating machine: insufficient quota in us-east1",
    ),
    "no resource": (
        {"address": ""},
        "Error creating machine: insufficient quota in us-east1 (main.tf line 12)",
    ),
    "bare": ({"detail": "", "range": {}, "address": ""}, "Error creating machine"),
}


@pytest.mark.parametrize(("fields", "expected"), EXPLANATIONS.values(), ids=EXPLANATIONS)
def test_an_explanation_leaves_out_what_is_not_known(
    fields: dict[str, object], expected: str
) -> None:
    assert diagnostic(**fields).explain() == expected


def test_a_long_explanation_is_cut_and_keeps_its_place() -> None:
    text = diagnostic(detail="x" * 10 * MAX_EXPLANATION).explain()
    assert len(text) < MAX_EXPLANATION + 100
    assert text.endswith("x… (ledger_machine.dev, main.tf line 12)")


def test_a_diagnostic_is_formatted_as_on_a_terminal() -> None:
    assert diagnostic().format().splitlines() == [
        "Error: Error creating machine",
        "with ledger_machine.dev,",
        'on main.tf line 12, in resource "ledger_machine" "dev":',
        "  12:   zone = var.zone",
        '    │ var.zone is "us-east1"',
        "insufficient quota",
        "in us-east1",
    ]


@pytest.mark.parametrize(
    ("severity", "level"),
    [("error", LogLevel.ERROR), ("warning", LogLevel.WARN), ("odd", LogLevel.ERROR)],
)
def test_a_severity_is_a_level(severity: str, level: LogLevel) -> None:
    assert diagnostic(severity=severity).severity is level


HARMLESS = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "terminal link": ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
    "title": ("\x1b]0;title\x1b\\x", "x"),
    "NUL": ("a\x00b", "a\ufffdb"),
    "carriage return": ("10%\r20%", "10%\ufffd20%"),
    "C1 control": ("a\x9b31mb", "a\ufffd31mb"),
    "half a surrogate pair": ("\ud800", "\ufffd"),
    "direction override": ("\u202egnp.exe", "\ufffdgnp.exe"),
    "text stays": ("tab\tand\nline é 漢 🙂", "tab\tand\nline é 漢 🙂"),
}


@pytest.mark.parametrize(("text", "expected"), HARMLESS.values(), ids=HARMLESS)
def test_control_characters_are_made_harmless(text: str, expected: str) -> None:
    assert plain_text(text) == expected
