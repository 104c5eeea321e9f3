"""Local modules: a module whose source is a path must be a part of the template."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from provisioner.host.archive import TemplateFiles
from provisioner.host.members import ArchiveError

_HCL_SUFFIXES = (".tf", ".tofu")
_JSON_SUFFIXES = (".tf.json", ".tofu.json")
_LINE_COMMENT = re.compile(r"^[ \t]*(?:#|//).*$", re.MULTILINE)
# Blocks inside of a module block come after its source in practice. What this misses, Terraform
# finds when the version is imported.
_MODULE = re.compile(
    r'^[ \t]*module[ \t]+"(?P<name>[^"\n]+)"[ \t]*\{[^{}]*?'
    r'(?<![\w-])source[ \t]*=[ \t]*"(?P<source>\.[^"\n]*)"',
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class _LocalModule:
    file: str
    name: str
    source: str

    @property
    def caller(self) -> str:
        return posixpath.dirname(self.file) or "."

    @property
    def folder(self) -> str:
        return posixpath.normpath(posixpath.join(self.caller, self.source))

    @property
    def is_inside(self) -> bool:
        return self.folder.partition("/")[0] != ".."


def check_local_modules(files: TemplateFiles) -> None:
    """Check that the local modules of a template are in its folder.

    Raises:
        ArchiveError: one is outside; the message says what to do.
    """
    for module in _local_modules(files):
        if not module.is_inside:
            raise ArchiveError(
                f"module {module.name!r} in {module.file} has the source {module.source!r},"
                " which is outside of the template's folder, so it would not be pushed; put the"
                " module into the folder, or put a link to it there and push with --root DIR"
            )


def find_module_cycle(files: TemplateFiles) -> tuple[str, ...]:
    """Return the folders of local modules that call each other, the first one again at the end.

    Empty if there are none. Terraform itself only says that a path is too long.
    """
    callers: dict[str, set[str]] = {}
    for module in _local_modules(files):
        callers.setdefault(module.folder, set()).add(module.caller)
    try:
        TopologicalSorter(callers).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def _local_modules(files: TemplateFiles) -> Iterator[_LocalModule]:
    for file, content in files.items():
        if file.endswith(_JSON_SUFFIXES):
            found = _in_json(bytes(content))
        elif file.endswith(_HCL_SUFFIXES):
            found = _in_hcl(bytes(content))
        else:
            continue
        for name, source in found:
            yield _LocalModule(file=file, name=name, source=source)


def _in_hcl(content: bytes) -> Iterator[tuple[str, str]]:
    for match in _MODULE.finditer(_without_comments(content.decode(errors="replace"))):
        yield match["name"], match["source"]


def _without_comments(text: str) -> str:
    first, *others = text.split("/*")
    # A comment that is not closed goes on to the next closing, past other openings.
    kept = "".join([first, *(part.partition("*/")[2] for part in others)])
    return _LINE_COMMENT.sub("", kept)


def _in_json(content: bytes) -> Iterator[tuple[str, str]]:
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):  # the import of the version says what is wrong
        return
    modules: Any = read.get("module") if isinstance(read, dict) else None
    for name, module in modules.items() if isinstance(modules, dict) else ():
        source = module.get("source") if isinstance(module, dict) else None
        if isinstance(source, str) and source.startswith("."):
            yield name, source
