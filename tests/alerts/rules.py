"""The shipped rules in a hurry.

Nothing but times is changed: the windows of ranges and offsets, ``for`` and the intervals of
groups are divided by ``HURRY``; a scrape and an evaluation come each second instead of each 15.
Thresholds, among them those in seconds, stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

HURRY = 30
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
WINDOW = re.compile(r"\[(\d+)([smhd])\]")
OFFSET = re.compile(r"offset (\d+)([smhd])\b")
PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"


def hurried_rules() -> dict[str, Any]:
    """Return the groups of all shipped rules, with shorter times."""
    groups = [
        hurried(group)
        for path in sorted((PROMETHEUS / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    # Recorded first, so that an alert sees what was recorded at the same moment.
    return {"groups": sorted(groups, key=lambda group: "alert" in group["rules"][0])}


def alert_names() -> list[str]:
    """Return the names of all shipped alerts, in their order."""
    return [
        rule["alert"] for group in hurried_rules()["groups"] for rule in group["rules"]
        if "alert" in rule
    ]  # fmt: skip


def hurried(group: dict[str, Any]) -> dict[str, Any]:
    """Return the group with shorter times."""
    rules = [
        rule
        | {"expr": hurried_query(rule["expr"])}
        | ({"for": hurried_time(rule["for"])} if "for" in rule else {})
        for rule in group["rules"]
    ]
    interval = {"interval": hurried_time(group["interval"])} if "interval" in group else {}
    return group | interval | {"rules": rules}


def hurried_query(query: str) -> str:
    """Return the query with shorter windows and offsets."""
    windows = WINDOW.sub(lambda found: f"[{hurried_time(found[1] + found[2])}]", query)
    return OFFSET.sub(lambda found: f"offset {hurried_time(found[1] + found[2])}", windows)


def hurried_time(duration: str) -> str:
    """Return a duration such as ``10m``, shortened, in milliseconds."""
    return f"{int(duration[:-1]) * SECONDS[duration[-1]] * 1000 // HURRY}ms"
