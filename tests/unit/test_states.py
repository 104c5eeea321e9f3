from __future__ import annotations

import json

import pytest

from db.jobs.states import State, read_state

GOOD = {"version": 4, "lineage": "one", "serial": 3, "resources": []}


def test_a_state_is_identified_by_lineage_and_serial() -> None:
    data = json.dumps(GOOD).encode()
    assert read_state(data) == State(data=data, lineage="one", serial=3)


@pytest.mark.parametrize("serial", [0, 2**63 - 1])
def test_the_least_and_the_greatest_serial_are_serials(serial: int) -> None:
    state = read_state(json.dumps({**GOOD, "serial": serial}).encode())
    assert state is not None
    assert state.serial == serial


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"lineage"',
        b"\xff\xfe",
        b"{}",
        b'{"lineage": "one"}',
        b'{"lineage": "", "serial": 3}',
        b"[" * 100_000,
        b'{"serial": 3}',
        b'{"lineage": 1, "serial": 3}',
        b'{"lineage": "one", "serial": "3"}',
        b'{"lineage": "one", "serial": true}',
        b'{"lineage": "one", "serial": 3.0}',
        b'{"lineage": "one", "serial": 9223372036854775808}',
        b'{"lineage": "a\\u0000", "serial": 3}',
        b'{"lineage": "\\ud800", "serial": 3}',
        json.dumps(GOOD).encode()[:-1],
    ],
    ids=lambda data: repr(data and data[:40]),
)
def test_what_is_no_whole_state_is_none(data: bytes | None) -> None:
    assert read_state(data) is None
