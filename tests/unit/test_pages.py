"""Pages lead where they say, and name only what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema.tables import Base
from docs.site.build import TOP_PAGES, stage
from worker.broker.secretfile import PREFIX
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / name for name in TOP_PAGES), *(ROOT / "docs").rglob("*.md")]
NAMING = ("db", "quota", "provisioner", "worker", "chattool", "api", "cli", "bench", "deploy")
GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")


def title(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> Iterator[str]:
    """Yield the targets of links to files, without their anchors."""
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            yield target


def carriers() -> list[str]:
    """Return what the third column of the glossary names in code font."""
    rows = re.findall(r"^\| .* \| (.*) \|$", GLOSSARY, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_link_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [target for target in links(text) if not (page.parent / target).exists()] == []


def test_every_page_that_code_names_exists() -> None:
    named = {
        (title(path), page)
        for folder in NAMING
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".json", ".service", ".example"}
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))
    }
    assert {(path, page) for path, page in named if not (ROOT / page).exists()} == set()


def test_the_site_lists_every_page(tmp_path: Path) -> None:
    stage(tmp_path, charts=tmp_path / "missing")
    pages = {page.relative_to(tmp_path).as_posix() for page in tmp_path.rglob("*.md")}
    listed = re.findall(r"[\w/.-]+\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(pages)


def test_charts_are_text_where_their_script_is_missing(tmp_path: Path) -> None:
    stage(tmp_path, charts=tmp_path / "missing")
    assert "```mermaid" not in (tmp_path / "architecture.md").read_text(encoding="utf-8")
    assert (tmp_path / "charts.js").read_text() == ""


def test_a_page_of_the_top_is_linked_within_the_site(tmp_path: Path) -> None:
    stage(tmp_path, charts=tmp_path / "missing")
    broken = [
        f"{page.relative_to(tmp_path)}: {target}"
        for page in tmp_path.rglob("*.md")
        for target in links(page.read_text(encoding="utf-8"))
        if not (page.parent / target).resolve().is_relative_to(tmp_path.resolve())
    ]
    assert broken == []


def test_the_glossary_names_only_tables_and_columns_that_exist() -> None:
    tables = Base.metadata.tables
    named = [name.partition(".") for name in carriers() if re.fullmatch(r"[a-z_]+\.[a-z_]+", name)]
    columns = [
        (table, column) for table, _, column in named if (table, column) != ("state", "orphaned")
    ]
    assert columns
    unknown = [
        f"{table}.{column}"
        for table, column in columns
        if table not in tables or column not in tables[table].columns
    ]
    assert unknown == []


def test_the_glossary_names_only_metrics_and_settings_that_exist() -> None:
    metrics = set(re.findall(r"`(provisionerd_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    named = {name for name in carriers() if name.lower().startswith("provisionerd_")}
    assert named - metrics - settings == set()


def test_the_glossary_explains_a_term_once() -> None:
    terms = re.findall(r"^\| ([\w ,-]+) \| ", GLOSSARY, re.MULTILINE)
    explained = [term for term in terms if term not in {"term", "---"}]
    assert len(explained) == len(set(explained))
