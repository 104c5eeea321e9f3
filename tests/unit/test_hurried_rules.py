"""What is provoked against a live Prometheus are the shipped rules, with shorter times alone."""

from __future__ import annotations

from tests.alerts.__main__ import CASES, NOT_PROVOKED
from tests.alerts.rules import alert_names, hurried_query, hurried_rules, hurried_time
from tests.unit.deploy.series import rules


def test_times_are_divided() -> None:
    assert hurried_time("5m") == "10000ms"


def test_windows_and_offsets_are_shortened_and_thresholds_stay() -> None:
    query = "sum(rate(a[1d] offset 15m)) > 300 and b[30s]"
    assert hurried_query(query) == "sum(rate(a[2880000ms] offset 30000ms)) > 300 and b[1000ms]"


def test_no_rule_is_left_out() -> None:
    hurried = [rule for group in hurried_rules()["groups"] for rule in group["rules"]]
    assert sorted(str(rule.get("alert") or rule["record"]) for rule in hurried) == sorted(
        str(rule.get("alert") or rule["record"]) for rule in rules()
    )


def test_every_alert_is_provoked_or_has_a_reason_why_not() -> None:
    provoked = [alert for case in CASES for alert in case.alerts]
    assert sorted([*provoked, *NOT_PROVOKED]) == sorted(alert_names())
