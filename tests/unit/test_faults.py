"""How the fault points of tests are read."""

from __future__ import annotations

import pytest

from db.errors import InvalidError
from db.faults import Fault, parse_faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("apply.begin=kill", Fault(action="kill")),
        ("apply.begin@2=stop", Fault(action="stop", passing=2)),
        ("apply.begin=delay:2.5", Fault(action="delay", argument="2.5")),
        ("apply.begin=hold:/tmp/a:b", Fault(action="hold", argument="/tmp/a:b")),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert parse_faults(text).by_point == {"apply.begin": fault}


@pytest.mark.parametrize(
    "text",
    [
        "bogus",
        "nowhere.begin=kill",
        "apply.begin=explode",
        "apply.begin@x=kill",
        "apply.begin@0x1=kill",
        "apply.begin=delay",
        "apply.begin=delay:soon",
        "apply.begin=delay:nan",
        "apply.begin=hold:",
        "apply.begin=kill:9",
        "=",
    ],
)
def test_a_fault_that_is_unknown_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidError, match="PROVISIONERD_FAULTS: there is no fault"):
        parse_faults(text)
