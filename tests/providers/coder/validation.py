"""The block ``validation`` of a parameter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.providers.coder.values import integer, strings


class InvalidValueError(Exception):
    """A value breaks its rules; the message says how."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The rules. A bound that is not set is None."""

    least: int | None = None
    most: int | None = None
    monotonic: str = ""
    regex: str = ""
    error: str = ""

    @classmethod
    def of(cls, block: dict[str, Any]) -> Validation:
        """Return the rules of a block as it is configured."""
        return cls(
            least=block["min"],
            most=block["max"],
            monotonic=block["monotonic"] or "",
            regex=block["regex"] or "",
            error=block["error"] or "",
        )

    def check(self, kind: str, value: str, previous: str | None) -> None:
        """Check a value of a type against the rules, and against the value before.

        Raises:
            InvalidValueError: it breaks one.
        """
        self._check_rules(kind)
        if kind == "bool" and value not in {"true", "false"}:
            raise InvalidValueError('boolean value can be either "true" or "false"')
        if kind == "string":
            self._check_text(value)
        if kind == "number":
            self._check_number(value, previous)
        if kind == "list(string)" and strings(value) is None:
            raise InvalidValueError(f'value "{value}" is not valid list of strings')

    def _check_rules(self, kind: str) -> None:
        if kind != "number":
            if self.least is not None:
                raise InvalidValueError(f"a min cannot be specified for a {kind} type")
            if self.most is not None:
                raise InvalidValueError(f"a max cannot be specified for a {kind} type")
            if self.monotonic:
                raise InvalidValueError(
                    f"monotonic validation can only be specified for number types, not {kind} types"
                )
        if kind != "string" and self.regex:
            raise InvalidValueError(f"a regex cannot be specified for a {kind} type")

    def _check_text(self, value: str) -> None:
        if not self.regex:
            return
        if not self.error:
            raise InvalidValueError("an error must be specified with a regex validation")
        try:
            matched = re.search(self.regex, value)
        except re.error as error:
            raise InvalidValueError(f'compile regex "{self.regex}": {error}') from None
        if not matched:
            raise InvalidValueError(f'{self.error} (value "{value}" does not match "{self.regex}")')

    def _check_number(self, value: str, previous: str | None) -> None:
        number = integer(value)
        if number is None:
            raise InvalidValueError(self._said(value) or f'value "{value}" is not a number')
        if self.least is not None and number < self.least:
            raise InvalidValueError(
                self._said(value) or f"value {number} is less than the minimum {self.least}"
            )
        if self.most is not None and number > self.most:
            raise InvalidValueError(
                self._said(value) or f"value {number} is more than the maximum {self.most}"
            )
        self._check_direction(number, previous)

    def _check_direction(self, number: int, previous: str | None) -> None:
        if not self.monotonic:
            return
        if self.monotonic not in {"increasing", "decreasing"}:
            raise InvalidValueError(
                'number monotonicity can be either "increasing" or "decreasing"'
            )
        before = integer(previous or "")
        if before is None:
            return
        rising = self.monotonic == "increasing"
        if number < before if rising else number > before:
            raise InvalidValueError(
                f"parameter value '{number}' must be equal or"
                f" {'greater' if rising else 'lower'} than previous value: {before}"
            )

    def _said(self, value: str) -> str:
        """Return the template's own text for a number that is wrong."""
        places = {"{min}": self.least, "{max}": self.most, "{value}": value}
        text = self.error
        for place, filling in places.items():
            text = text.replace(place, str(filling))
        return text
