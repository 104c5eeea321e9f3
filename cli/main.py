"""``provisionerd``: the command line.

A command's module is imported only when the command is used, by its name in ``COMMANDS``
(see ``cli.lazy``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cli.lazy import imported, with_paragraphs
from cli.outline import completion_of, stand_in
from cli.streams import explaining_unwritable, prepare_streams
from cli.vocabulary import CONTEXTS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "provisionerd.commands"
TRANSLATOR = "worker.process.explanation:explain"
# Plural or singular; `worker` and `workers` are two commands.
OTHER_NAMES = {
    "circuit": "circuits",
    "job": "jobs",
    "queues": "queue",
    **{
        f"{name}s": name
        for name in (
            "context", "group", "organization", "quota", "state", "template", "token", "user",
            "webhook", "workspace",
        )
    },
}  # fmt: skip
# Daemons take their settings from their own environment; a context must stay repairable.
WITHOUT_CONTEXT = {"demo", "up", "worker", "serve", "exporter", "context", "completion", "version"}


@dataclass(frozen=True)
class Lazy:
    """The module of a command, and its summary for ``--help`` before it is imported."""

    module: str
    summary: str


COMMANDS: Mapping[str, Lazy] = {
    "demo": Lazy("cli.demo", "Run real builds: within quota, refused, untagged, canceled."),
    "up": Lazy("cli.up", "Run PostgreSQL, Redis and a worker together."),
    "worker": Lazy("cli.worker", "Run builds until SIGTERM."),
    "serve": Lazy("cli.serve", "Serve an HTTP API that follows Coder's."),
    "mcp": Lazy("cli.mcp", "Serve agents' tools over standard input and output."),
    "exporter": Lazy("cli.exporter", "Serve metrics of the whole deployment."),
    "migrate": Lazy("cli.migrate", "Migrate the database to the current schema."),
    "grants": Lazy("cli.grants", "Print the rights in PostgreSQL and Redis that a role needs."),
    "doctor": Lazy(
        "cli.doctor.command", "Check settings, services and workers, and show how to fix problems."
    ),
    "context": Lazy("cli.context", "Manage contexts: named sets of variables for commands."),
    "version": Lazy("cli.version", "Print the version."),
    "completion": Lazy("cli.completion", "Print a shell's completion script."),
    "audit": Lazy("cli.audit", "Show who changed what by hand."),
    "prune": Lazy("cli.prune", "Delete old logs, states, jobs, audit rows and chats."),
    "rekey": Lazy("cli.rekey", "Seal all secrets in the database with the first key."),
    "template": Lazy("cli.template.command", "Push, list and change templates and their versions."),
    "workspace": Lazy("cli.workspace", "Create, start, stop, delete, show and list workspaces."),
    "state": Lazy("cli.state.command", "List, fetch and replace Terraform states of workspaces."),
    "jobs": Lazy("cli.jobs", "List, show, follow, await, cancel and retry jobs."),
    "queue": Lazy("cli.queue", "Show, pause and resume queues, and explain why a job waits."),
    "providers": Lazy("cli.providers", "List, verify and prune provider packages; fill mirrors."),
    "workers": Lazy("cli.workers", "List, drain, resume and forget workers."),
    "quota": Lazy("cli.quota", "Show users' budgets and what consumes them."),
    "tools": Lazy("cli.tools", "List and call the tools for agents."),
    "user": Lazy("cli.user", "Manage users."),
    "token": Lazy("cli.token", "Create, list and revoke tokens for the HTTP API."),
    "webhook": Lazy("cli.webhook", "Manage the addresses that events are sent to."),
    "group": Lazy("cli.group", "Manage groups, their members and their allowances."),
    "limits": Lazy("cli.limits", "Show and change how much one owner or chat may have."),
    "circuits": Lazy(
        "cli.circuits", "List template versions that keep failing; let one start again."
    ),
    "organization": Lazy("cli.organization", "Create and list organizations."),
}


class RootGroup(click.Group):
    """A group that imports its commands on demand; commands of other packages come last."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of ``COMMANDS``."""
        return [*COMMANDS, *(name for name in sorted(_extensions()) if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name, or None.

        A shell that completes a word gets a stand-in, without an import.
        """
        cmd_name = OTHER_NAMES.get(cmd_name, cmd_name)
        if cmd_name in COMMANDS and ctx.resilient_parsing:
            return stand_in(cmd_name)
        if cmd_name in COMMANDS:
            command: click.Command = imported(f"{COMMANDS[cmd_name].module}:{cmd_name}")
            return with_paragraphs(command)
        extension = _extensions().get(cmd_name)
        return _loaded(extension) if extension else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names and options without importing any command."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=_summary(name)) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any command."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that the user can fix becomes one sentence."""
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except Exception as error:
            sentence = imported(TRANSLATOR)(error)
            if sentence is None:
                raise
            raise click.ClickException(sentence) from error


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="provisionerd")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of embedded servers, Terraform and builds (PROVISIONERD_DATA_DIR).",
)
@click.option(
    "--context",
    "context_name",
    metavar="NAME",
    shell_complete=completion_of(CONTEXTS),
    help="Context to use (PROVISIONERD_CONTEXT).",
)
@click.pass_context
def cli(context: click.Context, data_dir: Path | None, context_name: str | None) -> None:
    r"""Run workspace builds with Terraform, within quotas.

    Settings are environment variables PROVISIONERD_*. Unless their URLs are
    set, PostgreSQL and Redis are started in the data directory.

    \b
    Example:
        provisionerd user create alice
        provisionerd template push ./template --name dev
        provisionerd workspace create box --template dev --owner alice
    """
    if data_dir is not None:
        # The environment, not an argument: Celery's application and child processes read their
        # settings from it too.
        os.environ["PROVISIONERD_DATA_DIR"] = str(data_dir.absolute())
    if context_name is not None:
        os.environ["PROVISIONERD_CONTEXT"] = context_name
    if context.invoked_subcommand not in WITHOUT_CONTEXT:
        imported("cli.contexts:use_current")()


def main() -> None:
    """Run the command line and exit with 0 for success, 1 for failure, 2 for wrong usage."""
    prepare_streams()
    with_paragraphs(cli)
    with explaining_unwritable():
        cli(prog_name="provisionerd")


def _extensions() -> dict[str, EntryPoint]:
    # Here: our own commands need none of them.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _loaded(extension: EntryPoint) -> click.Command:
    try:
        command: click.Command = extension.load()
    except (ImportError, AttributeError) as error:
        raise click.ClickException(
            f"the command {extension.name!r} of another package cannot be loaded: {error}"
        ) from error
    return with_paragraphs(command)


def _summary(name: str) -> str:
    # Reading the help of another package's command would import it.
    return COMMANDS[name].summary if name in COMMANDS else f"See `provisionerd {name} --help`."


if __name__ == "__main__":
    main()
