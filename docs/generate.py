"""Write the generated references, or check with ``--check`` whether they are stale.

    docs/generate.py           write the stale ones
    docs/generate.py --check   change nothing; exit 1 if one is stale

Each entry of ``REFERENCES`` has a path and a function that makes the text. If making the text needs
more than Python, it also has a function that checks whether a text is current. A page that is
written by hand except for some blocks is made from itself (see ``docs.generator.blocks``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from docs.generator import (
    blocks,
    captures,
    contract,
    httpapi,
    metrics,
    modules,
    outline,
    settings,
    states,
    typescript,
)

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A generated file."""

    path: str
    make: Callable[[], str]
    is_current: Callable[[str], bool] | None = (
        None  #: None: compare with the text that ``make`` returns
    )

    def is_stale(self, root: Path) -> bool:
        """Whether the file is missing, or differs from what would be made now."""
        file = root / self.path
        if not file.is_file():
            return True
        text = file.read_text(encoding="utf-8")
        if self.is_current is not None:
            return not self.is_current(text)
        return text != self.make()

    def write(self, root: Path) -> None:
        """Make the text and write the file."""
        text = self.make()
        file = root / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that is written by hand except for its generated blocks."""

    path: str
    blocks: blocks.Blocks

    def is_stale(self, root: Path) -> bool:
        """Whether the page is missing, lacks a block, or has a stale one."""
        try:
            text = (root / self.path).read_text(encoding="utf-8")
            return text != blocks.fill(text, self.blocks)
        except (FileNotFoundError, blocks.BlockError):
            return True

    def write(self, root: Path) -> None:
        """Fill the blocks of the page.

        Raises:
            BlockError: the page does not have exactly these blocks.
            FileNotFoundError: there is no such page.
        """
        file = root / self.path
        file.write_text(
            blocks.fill(file.read_text(encoding="utf-8"), self.blocks), encoding="utf-8"
        )


REFERENCES: Sequence[Reference | Page] = (
    Reference(path="docs/reference/openapi.json", make=contract.openapi),
    Reference(path="docs/reference/README.md", make=contract.page),
    Reference(path="docs/settings.md", make=settings.page),
    Reference(path="docs/metrics.md", make=metrics.page),
    Reference(
        path="docs/reference/httpapi.json",
        make=httpapi.document,
        is_current=httpapi.is_current,
    ),
    Reference(path="cli/outline.json", make=outline.document),
    Page(path="docs/cli.md", blocks={"captures": captures.captures}),
    Page(path="docs/architecture.md", blocks={"modules": modules.tables, "states": states.chart}),
    # Last, because only these can fail: without Node.js.
    Reference(
        path="docs/reference/types.ts", make=typescript.types, is_current=typescript.is_current
    ),
    Reference(
        path="docs/reference/httpapi.ts",
        make=typescript.api_types,
        is_current=typescript.are_api_types_current,
    ),
)


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file is stale.")
def main(check: bool) -> None:
    """Write the generated references."""
    stale = [reference for reference in REFERENCES if reference.is_stale(ROOT)]
    if check and stale:
        names = ", ".join(reference.path for reference in stale)
        raise click.ClickException(f"these files are stale: {names}; run `make generate`")
    for reference in stale:
        _write(reference)


def _write(reference: Reference | Page) -> None:
    try:
        reference.write(ROOT)
    except (typescript.GeneratorError, blocks.BlockError, FileNotFoundError) as error:
        raise click.ClickException(f"{reference.path} was not written: {error}") from error
    click.echo(f"wrote {reference.path}")


if __name__ == "__main__":
    main()
