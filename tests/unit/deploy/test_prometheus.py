from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.files import DEPLOY, ROOT, output_of, read_yaml, tool
from tests.unit.deploy.series import (
    named_series,
    recorded_series,
    rules,
    served_series,
    unknown_labels,
)

PROMETHEUS = DEPLOY / "prometheus"
RULES = rules()
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
RUNBOOK = "docs/runbooks.md"
HINT = "Debian's package is called prometheus"


@functools.cache
def cases_of_rules() -> list[dict[str, Any]]:
    return [test for path in TESTS for document in read_yaml(path) for test in document["tests"]]


def title(rule: dict[str, Any]) -> str:
    return str(rule.get("alert") or rule["record"])


@pytest.fixture(scope="module")
def promtool() -> str:
    return tool("promtool", HINT)


def test_promtool_accepts_the_configuration(promtool: str) -> None:
    output_of(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_promtool_accepts_the_rules(promtool: str) -> None:
    output_of(promtool, "check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yaml")))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_own_tests_say(promtool: str, path: Path) -> None:
    output_of(promtool, "test", "rules", path)


@pytest.mark.parametrize("alert", ALERTS, ids=title)
def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(
    alert: dict[str, Any],
) -> None:
    cases = [
        bool(case["exp_alerts"])
        for test in cases_of_rules()
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == alert["alert"]
    ]
    assert set(cases) == {True, False}


@pytest.mark.parametrize("name", sorted(recorded_series()))
def test_every_recorded_series_has_a_test(name: str) -> None:
    expected = [
        re.split(r"[{\s]", sample["labels"])[0]
        for test in cases_of_rules()
        for case in test.get("promql_expr_test", ())
        for sample in case["exp_samples"]
    ]
    assert name in expected


@pytest.mark.parametrize("rule", RULES, ids=title)
def test_rules_read_series_that_exist(rule: dict[str, Any]) -> None:
    assert named_series(rule["expr"]) <= served_series().keys() | recorded_series()


@pytest.mark.parametrize("rule", RULES, ids=title)
def test_rules_select_by_labels_that_exist(rule: dict[str, Any]) -> None:
    assert unknown_labels(rule["expr"]) == []


@pytest.mark.parametrize("alert", ALERTS, ids=title)
def test_every_alert_leads_to_a_section_of_the_runbook(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOK}#{alert['alert'].lower()}"


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    headings = re.findall(r"^## (Provisionerd\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert headings == [alert["alert"] for alert in ALERTS]
