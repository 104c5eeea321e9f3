"""What the words of commands name, so that a shell can complete them.

``docs/generate.py`` writes it into the outline of the commands (see ``cli.outline``). A parameter
that is not here takes a free text, a file, or one of its choices.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTEXTS = "contexts"
FILES = "files"
GROUPS = "groups"
JOBS = "jobs"
ORGANIZATIONS = "organizations"
QUEUES = "queues"
TEMPLATES = "templates"
TOKENS = "tokens"
USERS = "users"
VERSIONS = "versions"  #: of the template that the command names
WEBHOOKS = "webhooks"
WORKERS = "workers"
WORKSPACES = "workspaces"

UNFINISHED = f"{JOBS} pending running"  #: jobs of these statuses
OPTIONS: Mapping[str, str] = {
    "--as": USERS,
    "--before": JOBS,
    "--context": CONTEXTS,
    "--organization": ORGANIZATIONS,
    "--owner": USERS,
    "--queue": QUEUES,
    "--template": TEMPLATES,
    "--user": USERS,
    "--workspace": WORKSPACES,
}
ARGUMENTS: Mapping[str, str] = {
    "group": GROUPS,
    "job": JOBS,
    "user": USERS,
    "version": VERSIONS,
}
OF_COMMANDS: Mapping[str, Mapping[str, str | None]] = {
    "circuits": {"name": TEMPLATES},
    "context": {"name": CONTEXTS},
    "group create": {"name": None},
    "jobs cancel": {"names": UNFINISHED},
    "jobs retry": {"names": f"{JOBS} failed canceled"},
    "jobs wait": {"names": UNFINISHED},
    "queue": {"name": QUEUES},
    "queue explain": {"job": f"{JOBS} pending"},
    "state": {"workspace": WORKSPACES, "file": FILES, "source": FILES},
    "template": {"name": TEMPLATES, "old": VERSIONS, "new": VERSIONS},
    "template pull": {"--version": VERSIONS},
    "template push": {"--name": TEMPLATES},
    "template show": {"--version": VERSIONS},
    "token revoke": {"token_id": TOKENS},
    "user": {"name": USERS},
    "user create": {"name": None},
    "webhook": {"webhook_id": WEBHOOKS},
    "workers": {"name": WORKERS},
    "workspace": {"name": WORKSPACES},
    "workspace create": {"name": None},
}
"""The parameters of a command, or of all commands of a group, that differ from the above."""


def named_by(command: str, parameter: str) -> str | None:
    """Return what the value of a parameter names, if anything.

    Args:
        command: the words of the command, such as ``jobs cancel``.
        parameter: the name of an argument, or an option such as ``--owner``.
    """
    usual = OPTIONS if parameter.startswith("-") else ARGUMENTS
    for words in (command, command.rpartition(" ")[0]):
        if parameter in (found := OF_COMMANDS.get(words, {})):
            return found[parameter]
    return usual.get(parameter)
