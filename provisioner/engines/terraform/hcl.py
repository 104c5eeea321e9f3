"""Read HCL with ``hclreader``, a child process with limits of time and memory."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from provisioner.engines.port import EngineError
from provisioner.host import process
from provisioner.host.interrupt import Interrupt
from provisioner.host.sandbox.port import NoSandbox, Sandbox, Scope

TIMEOUT = timedelta(seconds=30)
ANSWER_LIMIT = 64 * 1024 * 1024
"""How many characters of the answer are read; no real template needs more."""

READER = Path(__file__).with_name("hclreader.py")
"""Not imported: its grammar would start a Go runtime in this process."""

_INTERPRETER = (Path(sys.prefix), Path(sys.base_prefix), READER)
_POSITION = re.compile(
    r"^invalid HCL: \S*?:(?P<line>\d+),\d+-(?:\d+,)?\d+: (?P<words>.*)$", re.DOTALL
)


class TemplateError(EngineError):
    """The template's files cannot be read; the message names the file and the line."""


def read_hcl(
    texts: Mapping[str, str], *, sandbox: Sandbox | None = None
) -> dict[str, Mapping[str, Any]]:
    """Return the ``variable`` and ``data`` blocks of each file, by file name.

    An expression that is not a literal is returned as its text.

    Raises:
        TemplateError: a file is not HCL, or takes too much time or memory to read.
    """
    return _read("files", texts, _sentence, sandbox or NoSandbox())


def read_values(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return values of variables that are written in HCL, by the name of the variable.

    Raises:
        TemplateError: a text is not a literal, or takes too much time or memory to read.
    """
    return _read("values", texts, _sentence_of_value, NoSandbox())


def _read(
    kind: str, texts: Mapping[str, str], sentence: Callable[[str, str], str], sandbox: Sandbox
) -> dict[str, Any]:
    if not texts:
        return {}
    bodies = {}
    for answer in _ask(kind, texts, sandbox):
        if "error" in answer:
            raise TemplateError(sentence(answer["name"], str(answer["error"])))
        bodies[str(answer["name"])] = answer["body"]
    return bodies


def _ask(kind: str, texts: Mapping[str, str], sandbox: Sandbox) -> list[Any]:
    answer, errors = _Text(), _Text()
    with tempfile.TemporaryDirectory(prefix="provisionerd-hcl-") as folder:
        given = Path(folder) / "files.json"
        given.write_text(json.dumps(texts), encoding="utf-8")
        confined = sandbox.confine(
            (sys.executable, "-I", "-B", str(READER), kind, str(given)),
            Scope(cwd=Path(folder), writable=(Path(folder),), readable=_INTERPRETER),
        )
        ended = process.run(
            confined.command,
            cwd=Path(folder),
            environment={"PATH": os.defpath, "GOMEMLIMIT": "512MiB", "GOTRACEBACK": "none"},
            on_stdout=answer.take,
            on_stderr=errors.take,
            interrupt=Interrupt(),
            timeout=TIMEOUT,
            grace=timedelta(),
            confinement=confined.confinement,
        )
    if ended.returncode != 0 or answer.overflowed:
        names = ", ".join(texts)
        raise TemplateError(f"{names} cannot be read within the limits of time and memory")
    return [json.loads(line) for line in answer.lines()]


def _sentence(name: str, error: str) -> str:
    if found := _POSITION.match(error):
        words = " ".join(found["words"].split())
        return f"{name} line {found['line']}: {words.rstrip('.')}"
    return f"{name} cannot be read: {' '.join(error.removeprefix('invalid HCL: ').split())}"


def _sentence_of_value(name: str, error: str) -> str:
    # The words of the grammar do not quote the value, which may be a secret.
    found = _POSITION.match(error)
    words = " ".join((found["words"] if found else error.removeprefix("invalid HCL: ")).split())
    return (
        f"the value of the variable {name!r} is neither JSON nor a literal in HCL:"
        f" {words.rstrip('.')}"
    )


class _Text:
    """Output of the reader, up to the limit."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self.overflowed = False

    def take(self, piece: str) -> None:
        self._length += len(piece)
        if self._length > ANSWER_LIMIT:
            self.overflowed = True
        else:
            self._pieces.append(piece)

    def lines(self) -> list[str]:
        return "".join(self._pieces).splitlines()
