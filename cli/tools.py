"""``provisionerd tools``: the tools for agents, from the shell."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from chattool.context import ToolContext
from chattool.settings import tool_settings
from chattool.tool import Tool, as_function_tool, as_input_schema_tool
from chattool.tools import TOOLS
from cli.lazy import AliasGroup
from cli.opening import find_organization, opened
from cli.options import organization_option
from cli.printing import print_json
from db.catalog.people import get_user
from worker.broker.doorbell import ring_at
from worker.settings import load_settings
from worker.tracing.traces import process_tracer

FORMATS = {"input-schema": as_input_schema_tool, "function": as_function_tool}


@click.group(cls=AliasGroup)
def tools() -> None:
    """List and call the tools for agents."""


@tools.command("list")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    default="input-schema",
    show_default=True,
    help="Format for an SDK: name and input_schema, or a function with parameters.",
)
def list_tools(format_: str) -> None:
    r"""Print the tools with their JSON schemas, as JSON.

    \b
    Example:
        provisionerd tools list --format function
    """
    print_json([FORMATS[format_](tool) for tool in TOOLS.values()])


@tools.command("call")
@click.argument("name")
@click.option(
    "--json",
    "arguments",
    default="{}",
    show_default=True,
    metavar="OBJECT",
    help="The tool's arguments as a JSON object; - reads them from standard input.",
)
@click.option("--chat", required=True, metavar="ID", help="The chat; it is created on first use.")
@click.option("--owner", required=True, metavar="USER", help="Owner of the chat.")
@organization_option
def call_tool(name: str, arguments: str, chat: str, owner: str, organization: str | None) -> None:
    r"""Call the tool NAME for a chat and print its answer as JSON.

    A failed build is an answer like any other, even if quota refused it: the
    exit status is 0, and the keys of the answer show the failure.

    \b
    Example:
        provisionerd tools call create_workspace --chat c1 --owner alice \
            --json '{"template_id": "dev"}'
    """
    tool = _find_tool(name)
    given = _read_object(arguments)
    settings = load_settings()
    with opened(redis=True) as services:
        with services.database.begin() as session:
            context = ToolContext(
                database=services.database,
                chat_id=chat,
                owner_id=get_user(session, owner).id,
                organization_id=find_organization(session, organization).id,
                settings=tool_settings(settings),
                ring=ring_at(services.redis_url),
                tracer=process_tracer(),
            )
        print_json(tool.call(context, given))


def _find_tool(name: str) -> Tool:
    tool = TOOLS.get(name)
    if tool is None:
        raise click.ClickException(f"there is no tool {name!r}; the tools are: {', '.join(TOOLS)}")
    return tool


def _read_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(sys.stdin.read() if text == "-" else text)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"--json is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.ClickException('--json must be a JSON object, such as \'{"name": "dev"}\'')
    return document
