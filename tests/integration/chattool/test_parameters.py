"""Values that agents choose: of parameters and presets, and how they are refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import select

from chattool import create_workspace, start_workspace
from chattool.owned.reading import read_template, read_workspace
from db.jobs.declarations import TemplateParameter, TemplatePreset
from db.reads.builds import find_parameters
from db.schema.enums import Transition
from db.schema.tables import TemplateVersionPreset
from tests.integration.chattool.chatting import Chat

REGION = TemplateParameter(name="region", required=True, mutable=False)
SIZE = TemplateParameter(name="size", required=False, default="1", type="number")
TOOLS = TemplateParameter(name="tools", required=False, default="[]", type="list(string)")
LARGE = TemplatePreset(name="large", parameters={"region": "us", "size": "8"})
MISSING = {"field": "region", "detail": 'Parameter "region" is required but not provided'}


@pytest.fixture
def imported(chat: Chat) -> Chat:
    """The chat, whose template declares parameters that no file of its root names."""
    chat.template = chat.push({})
    chat.factory.declare(chat.template, parameters=(REGION, SIZE, TOOLS), presets=(LARGE,))
    return chat


def values(chat: Chat) -> dict[str, str]:
    with chat.factory.database.begin() as session:
        return find_parameters(session, chat.look().build_id)


def create(chat: Chat, **arguments: Any) -> dict[str, Any]:
    with chat.building():
        return create_workspace(chat.context(), template_id=chat.template.name, **arguments)


def test_a_parameter_of_a_module_is_known(imported: Chat) -> None:
    assert create(imported, parameters={"region": "eu"})["created"] is True
    assert values(imported) == {"region": "eu", "size": "1", "tools": "[]"}


def test_no_tool_shows_a_sensitive_value_or_its_default(chat: Chat) -> None:
    chat.template = chat.push({})
    key = TemplateParameter(name="key", required=False, default="s3cret", sensitive=True)
    chat.factory.declare(chat.template, parameters=(key, SIZE))
    created = create(chat, parameters={"key": "s3cret-too"})
    context = chat.context()
    template = read_template(context, template=chat.template.name)
    workspace = read_workspace(context, workspace=created["workspace_name"])
    assert workspace["parameters"] == {"key": "*redacted*", "size": "1"}
    assert "s3cret" not in json.dumps([template, workspace])


def test_a_missing_value_is_refused_with_its_field(imported: Chat) -> None:
    assert create(imported) == {
        "error": 'Unable to validate parameter "region"',
        "detail": MISSING["detail"],
        "validations": [MISSING],
    }
    assert imported.workspaces() == []


def test_all_wrong_values_are_refused_with_their_fields(imported: Chat) -> None:
    answer = create(imported, parameters={"size": "x", "colour": "red"})
    assert answer["error"] == "Unable to validate parameters"
    assert [found["field"] for found in answer["validations"]] == ["colour", "region", "size"]


def test_a_value_that_cannot_be_stored_is_refused_with_its_field(imported: Chat) -> None:
    answer = create(imported, parameters={"region": "\0"})
    assert answer["validations"] == [
        {
            "field": "region",
            "detail": "the value contains a null byte or is not valid Unicode text",
        }
    ]


@pytest.mark.parametrize("argument", ["preset", "preset_id"])
def test_a_preset_gives_its_values(imported: Chat, argument: str) -> None:
    with imported.factory.database.begin() as session:
        preset = session.scalars(select(TemplateVersionPreset)).one()
    chosen = {"preset": preset.name, "preset_id": str(preset.id)}[argument]
    assert create(imported, **{argument: chosen})["created"] is True
    assert values(imported) == {"region": "us", "size": "8", "tools": "[]"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preset_id": "large"}, "invalid preset_id: badly formed hexadecimal UUID string"),
        ({"preset_id": str(uuid.UUID(int=1))}, "has no preset '00000000"),
        ({"preset": "huge"}, "has no preset 'huge'; it has 'large'"),
        ({"preset": "large", "preset_id": "x"}, "give preset_id or preset, not both"),
    ],
)
def test_a_preset_that_is_not_there_is_refused(
    imported: Chat, arguments: dict[str, str], words: str
) -> None:
    answer = create(imported, **arguments)
    assert words in answer["error"]
    assert imported.workspaces() == []


def test_a_start_changes_values(imported: Chat) -> None:
    imported.ended(Transition.STOP, parameters={"region": "eu"})
    with imported.building():
        answer = start_workspace(imported.context(), parameters={"size": "3"})
    assert answer["started"] is True
    assert values(imported) == {"region": "eu", "size": "3", "tools": "[]"}


def test_a_refused_start_names_the_template(imported: Chat) -> None:
    imported.ended(Transition.STOP, parameters={"region": "eu"})
    detail = (
        'Parameter "region" is not mutable, so it can\'t be updated after creating a workspace.'
    )
    assert start_workspace(imported.context(), parameters={"region": "us"}) == {
        "error": 'Unable to validate parameter "region"',
        "detail": detail,
        "validations": [{"field": "region", "detail": detail}],
        "template_id": str(imported.template.id),
    }


def test_a_preset_of_a_start_gives_its_values(imported: Chat) -> None:
    imported.ended(Transition.STOP, parameters={"region": "us"})
    with imported.building():
        start_workspace(imported.context(), preset="large")
    assert values(imported)["size"] == "8"
