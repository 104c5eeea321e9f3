"""What the operators' pages name has to be there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from cli.main import COMMANDS
from tests.unit.deploy.files import ROOT
from worker.broker.secretfile import PREFIX
from worker.settings import Settings
from worker.variables import problem_of_names

PAGES = ("deployment", "operations", "runbooks", "sizing")


def text(page: str) -> str:
    return (ROOT / f"docs/{page}.md").read_text()


def anchors(page: str) -> set[str]:
    """Return the anchors that a forge makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((\w*)(?:\.md)?#([\w-]+)\)", text(page)):
            yield page, target or page, anchor


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_exists(page: str) -> None:
    named = re.findall(rf"{PREFIX}([A-Z]+(?:_[A-Z]+)*)\b(?!_)", text(page))
    assert (
        problem_of_names(Settings.model_fields, {f"{PREFIX}{name}": "" for name in named}) is None
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page: str) -> None:
    named = re.findall(r"(?:`|bin/|worker-1 )provisionerd ([a-z]+)", text(page))
    assert set(named) <= COMMANDS.keys()


@pytest.mark.parametrize(("page", "target", "anchor"), sorted(set(links())))
def test_every_link_leads_to_a_heading(page: str, target: str, anchor: str) -> None:
    assert anchor in anchors(target)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_deployment_exists(page: str) -> None:
    named = set(re.findall(r"deploy/[\w./-]*\w", text(page))) - {
        *(f"deploy/secrets{name}" for name in ("", "/database_url", "/redis_url")),
        "deploy/provisionerd-worker",
    }
    assert {name for name in named if not (ROOT / name).exists()} == set()
