"""Evaluate the expressions of workspace tags, which choose the workers of a build.

A small part of HCL: texts with ``${...}``, numbers, true and false, ``var.<name>``,
``data.coder_parameter.<name>.value``, comparison, ``!``, ``&&``, ``||``, a condition with ``?`` and
``:``, and parentheses. There are no functions. Every value is a text, as parameters and tags are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from db.errors import InvalidError

MAX_LENGTH = 4096
"""Maximum characters of an expression."""

_MAX_DEPTH = 50
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?)
      | (?P<name>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)
      | (?P<quote>")
      | (?P<sign>==|!=|&&|\|\||[!?:()}])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_PARAMETER = re.compile(r"data\.coder_parameter\.([^.]+)\.value")
_VARIABLE = re.compile(r"var\.([^.]+)")


class ExpressionError(InvalidError):
    """The expression is not in the part of HCL that is read, or names an unknown value."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values that expressions can name."""

    variables: Mapping[str, str]
    parameters: Mapping[str, str]

    def value_of(self, name: str) -> str:
        """Return the value that a name stands for.

        Raises:
            ExpressionError: there is none.
        """
        for pattern, values in ((_PARAMETER, self.parameters), (_VARIABLE, self.variables)):
            if found := pattern.fullmatch(name):
                if found[1] not in values:
                    raise ExpressionError(f"{name} has no value")
                return values[found[1]]
        raise ExpressionError(
            f"{name} is not known here; only var.<name> and"
            " data.coder_parameter.<name>.value are supported"
        )


def evaluate(expression: str, values: Values) -> str:
    """Return the value of an expression as a text.

    Raises:
        ExpressionError: it cannot be evaluated; the message is the predicate of a sentence.
    """
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"it has more than {MAX_LENGTH} characters")
    reader = _Reader(expression, values)
    value = reader.condition()
    reader.end()
    return value


class _Reader:
    """Reads an expression from left to right, and evaluates it on the way."""

    def __init__(self, text: str, values: Values) -> None:
        self._text = text
        self._values = values
        self._at = 0
        self._depth = 0

    def end(self) -> None:
        if self._text[self._at :].strip():
            raise self._unexpected()

    def condition(self) -> str:
        return self._nested(self._condition)

    def _nested(self, read: Callable[[], str]) -> str:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError("it is nested too deeply")
        value = read()
        self._depth -= 1
        return value

    def _condition(self) -> str:
        value = self._either()
        if not self._take("?"):
            return value
        chosen = self.condition()
        self._expect(":")
        other = self.condition()
        return chosen if _truth(value) else other

    def _either(self) -> str:
        return self._joined("||", lambda: self._joined("&&", self._equality, all), any)

    def _joined(
        self, sign: str, operand: Callable[[], str], joined: Callable[[list[bool]], bool]
    ) -> str:
        value = operand()
        if not self._take(sign):
            return value
        operands = [_truth(value), _truth(operand())]
        while self._take(sign):
            operands.append(_truth(operand()))
        return _text(joined(operands))

    def _equality(self) -> str:
        value = self._operand()
        for sign in ("==", "!="):
            if self._take(sign):
                return _text((value == self._operand()) == (sign == "=="))
        return value

    def _operand(self) -> str:
        if self._take("!"):
            return _text(not _truth(self._nested(self._operand)))
        if self._take("("):
            value = self.condition()
            self._expect(")")
            return value
        kind, token = self._token()
        if kind == "quote":
            return self._quoted()
        if kind == "number" or token in ("true", "false"):
            return token
        if kind == "name":
            return self._values.value_of(token)
        raise self._unexpected(token)

    def _quoted(self) -> str:
        """Return a text whose opening quote has been read."""
        pieces = []
        while not self._text.startswith('"', self._at):
            if self._at >= len(self._text):
                raise ExpressionError("a text has no closing quote")
            pieces.append(self._piece())
        self._at += 1
        return "".join(pieces)

    def _piece(self) -> str:
        following = self._text[self._at : self._at + 3]
        if following in ("$${", "%%{"):
            self._at += 3
            return following[1:]
        if following.startswith("${"):
            self._at += 2
            value = self.condition()
            self._expect("}")
            return value
        if following.startswith("%{"):
            raise ExpressionError("%{ } in a text is not supported")
        if following.startswith("\\"):
            return self._escaped()
        self._at += 1
        return following[0]

    def _escaped(self) -> str:
        escape = self._text[self._at + 1 : self._at + 2]
        if escape not in _ESCAPES:
            raise ExpressionError(f"the escape \\{escape} is not supported")
        self._at += 2
        return _ESCAPES[escape]

    def _take(self, sign: str) -> bool:
        """Read a sign if it comes next."""
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["sign"] != sign:
            return False
        self._at = found.end()
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected()

    def _token(self) -> tuple[str, str]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._unexpected()
        self._at = found.end()
        kind = str(found.lastgroup)
        return kind, found[kind]

    def _unexpected(self, token: str = "") -> ExpressionError:
        rest = (token or self._text[self._at :].strip())[:20]
        return ExpressionError(f"'{rest}' is not supported there" if rest else "it is incomplete")


def _truth(value: str) -> bool:
    if value not in ("true", "false"):
        raise ExpressionError("a condition is neither true nor false")
    return value == "true"


def _text(value: bool) -> str:
    return "true" if value else "false"
