"""The standard checks of configured values, with the texts of HashiCorp's plugin SDK."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from tf.types import Unknown

from tests.providers.findings import Findings
from tests.providers.schema import Check, Values

Judge = Callable[[Findings, Values], None]


def quoted(text: str) -> str:
    """Return a text in double quotes, as Go prints it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def one_of(*allowed: str) -> Check:
    """Accept one of some words."""
    words = " ".join(quoted(word) for word in allowed)

    def check(findings: Findings, path: str, value: str) -> None:
        if value not in allowed:
            findings.error(f"expected {path} to be one of [{words}], got {value}", path=path)

    return check


def whole(findings: Findings, path: str, value: float) -> None:
    """Accept whole numbers."""
    if value != int(value):
        findings.error(f"{path} must be a whole number, got {value}", path=path)


def at_least(least: int) -> Check:
    """Accept numbers from ``least`` on."""

    def check(findings: Findings, path: str, value: int) -> None:
        if value < least:
            findings.error(f"expected {path} to be at least ({least}), got {value}", path=path)

    return check


def between(least: int, most: int) -> Check:
    """Accept numbers in a range, ends included."""

    def check(findings: Findings, path: str, value: int) -> None:
        if not least <= value <= most:
            findings.error(
                f"expected {path} to be in the range ({least} - {most}), got {value}", path=path
            )

    return check


def not_empty(findings: Findings, path: str, value: str) -> None:
    """Accept every text but the empty one."""
    if not value:
        findings.error(f'expected "{path}" to not be an empty string, got {value}', path=path)


def length(least: int, most: int) -> Check:
    """Accept texts of a length in bytes."""

    def check(findings: Findings, path: str, value: str) -> None:
        if not least <= len(value.encode()) <= most:
            findings.error(
                f"expected length of {path} to be in the range ({least} - {most}), got {value}",
                path=path,
            )

    return check


def at_most(most: int, text: str) -> Check:
    """Accept texts of at most ``most`` bytes; ``text`` is the error."""

    def check(findings: Findings, path: str, value: str) -> None:
        if len(value.encode()) > most:
            findings.error(f"{text} (max {most} characters)", path=path)

    return check


def matching(pattern: str, text: str) -> Check:
    """Accept texts that match; ``text`` is the error, which may name ``{path}`` and ``{value}``."""

    def check(findings: Findings, path: str, value: str) -> None:
        if not re.search(pattern, value):
            findings.error(text.format(path=path, value=quoted(value)), path=path)

    return check


def is_uuid(findings: Findings, path: str, value: str) -> None:
    """Accept identifiers."""
    try:
        uuid.UUID(value)
    except ValueError:
        findings.error(f'expected "{path}" to be a valid UUID, got {value}', path=path)


def is_url(findings: Findings, path: str, value: str) -> None:
    """Accept everything that can be read as a URL, paths and the empty text too."""
    if problem := _problem_of_url(value):
        findings.error(f"parse {quoted(value)}: {problem}", path=path)


def _problem_of_url(text: str) -> str | None:
    if any(letter < " " for letter in text):
        return "net/url: invalid control character in URL"
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        return "invalid URL escape"
    try:
        urlsplit(text)
    except ValueError as error:
        return str(error)
    return None


def conflicts(name: str, *others: str) -> Judge:
    """Refuse a value beside certain others. Presence counts; what is unknown is not judged."""

    def judge(findings: Findings, config: Values) -> None:
        if not _is_given(config.get(name)):
            return
        for other in others:
            if _is_given(config.get(other)):
                findings.error(
                    "Conflicting configuration arguments",
                    f'"{name}": conflicts with {other}',
                    path=name,
                )

    return judge


def all_of(*judges: Judge) -> Judge:
    """Judge by each of some rules."""

    def judge(findings: Findings, config: Values) -> None:
        for rule in judges:
            rule(findings, config)

    return judge


def _is_given(value: object) -> bool:
    return value is not None and value is not Unknown and value != []
