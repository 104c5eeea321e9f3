"""The JSON lines that Terraform prints (``-json``), and the diagnostics among them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.schema.enums import LogLevel

MAX_EXPLANATION = 4_000
"""The explanation of a diagnostic is cut to this many characters."""

STATE_DUMP = "Emergency state dump"
"""The message with which Terraform prints a state that it could not write to any file."""

_STATE_KEY = '"state":'
_LEVELS = {
    "trace": LogLevel.TRACE,
    "debug": LogLevel.DEBUG,
    "info": LogLevel.INFO,
    "warn": LogLevel.WARN,
    "warning": LogLevel.WARN,  # the spelling of a diagnostic's severity
    "error": LogLevel.ERROR,
}
_HEADS = {LogLevel.ERROR: "Error: ", LogLevel.WARN: "Warning: "}
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_REFUSED_VALUE = {"Invalid value for variable", "Invalid value for input variable"}
_VARIABLE = re.compile(r"\bvar\.([\w-]+)")
# Control characters except tab and line feed, characters that change the writing direction, and
# lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """A warning or an error of Terraform, with its location."""

    severity: LogLevel
    summary: str
    detail: str = ""
    address: str = ""  #: of the resource, ``""`` if it is not about a resource
    filename: str = ""
    line: int = 0
    context: str = ""  #: the block around that line, e.g. ``resource "aws_instance" "dev"``
    code: str = ""
    values: tuple[str, ...] = ()  #: the values of the expressions in ``code``

    @property
    def refused_variables(self) -> frozenset[str]:
        """The variables whose values are refused, none if this is about something else.

        Several if a validation rule refers to others: it is not said which of them is wrong.
        """
        if self.severity is not LogLevel.ERROR or self.summary not in _REFUSED_VALUE:
            return frozenset()
        return frozenset(_VARIABLE.findall(" ".join((*self.values, self.detail))))

    def explain(self) -> str:
        """Return one line for the job's error: summary, detail, resource, file and line."""
        location = ", ".join(filter(None, (self.address, self._file_and_line())))
        text = " ".join(": ".join(filter(None, (self.summary, self.detail))).split())
        if len(text) > MAX_EXPLANATION:
            text = text[:MAX_EXPLANATION] + "…"
        return f"{text} ({location})" if location else text

    def format(self) -> str:
        """Return it in the form in which Terraform shows it on a terminal."""
        return "\n".join(self._formatted_lines())

    def _file_and_line(self) -> str:
        return f"{self.filename} line {self.line}" if self.filename else ""

    def _formatted_lines(self) -> Iterator[str]:
        yield f"{_HEADS.get(self.severity, '')}{self.summary}"
        if self.address:
            yield f"with {self.address}" + ("," if self.filename else ":")
        if self.filename:
            yield f"on {self._file_and_line()}" + (f", in {self.context}:" if self.context else ":")
        for number, line in enumerate(self.code.splitlines(), start=self.line):
            yield f"  {number}: {line}"
        for value in self.values:
            yield f"    │ {value}"
        yield self.detail


@dataclass(frozen=True, kw_only=True)
class Message:
    """One line of Terraform's output."""

    level: LogLevel
    text: str
    type: str = ""  #: e.g. ``apply_start``; ``""`` for a line that is not JSON
    timestamp: datetime | None = None
    resource: str = ""  #: address
    provider: str = ""
    action: str = ""  #: e.g. ``create``
    diagnostic: Diagnostic | None = None
    output: str = ""  #: the end of ``text`` that a provisioner's program printed
    state: bytes | None = None  #: printed because it could not be written


def parse_message(line: str) -> Message | None:
    """Return the message of ``line``; None for a blank line. A line without JSON is INFO text."""
    if not line.strip():
        return None
    fields = _json_object(line)
    if "@message" not in fields:
        return Message(level=LogLevel.INFO, text=line)
    hook = _mapping(fields, "hook")
    resource = _mapping(hook, "resource")
    return Message(
        level=_LEVELS.get(_text(fields, "@level"), LogLevel.INFO),
        text=_text(fields, "@message"),
        type=_text(fields, "type"),
        timestamp=_time(_text(fields, "@timestamp")),
        resource=_text(resource, "addr"),
        provider=_text(resource, "implied_provider"),
        action=_text(hook, "action"),
        diagnostic=_diagnostic(_mapping(fields, "diagnostic")),
        output=_text(hook, "output"),
        state=_printed_state(line) if fields["@message"] == STATE_DUMP else None,
    )


def _printed_state(line: str) -> bytes | None:
    """Return the state in a line, unchanged: numbers would not survive reading and writing it."""
    _head, _key, rest = line.partition(_STATE_KEY)
    try:
        _state, end = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    return rest[:end].encode()


def plain_text(text: str) -> str:
    """Return ``text`` without terminal sequences, NUL and other deceptive characters."""
    return _UNPRINTABLE.sub("\ufffd", _ANSI.sub("", text).replace("\r\n", "\n"))


def _json_object(line: str) -> Mapping[str, Any]:
    if not line.lstrip().startswith("{"):
        return {}
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _diagnostic(fields: Mapping[str, Any]) -> Diagnostic | None:
    if not fields:
        return None
    location = _mapping(fields, "range")
    snippet = _mapping(fields, "snippet")
    line = _mapping(location, "start").get("line")
    values = snippet.get("values")
    return Diagnostic(
        severity=_LEVELS.get(_text(fields, "severity"), LogLevel.ERROR),
        summary=_text(fields, "summary").strip(),
        detail=_text(fields, "detail").strip(),
        address=_text(fields, "address"),
        filename=_text(location, "filename"),
        line=line if isinstance(line, int) else 0,
        context=_text(snippet, "context"),
        code=_text(snippet, "code"),
        values=tuple(_values(values if isinstance(values, list) else [])),
    )


def _values(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield f"{_text(value, 'traversal')} {_text(value, 'statement')}"


def _mapping(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
