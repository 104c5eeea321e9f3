"""The resources that belong to an agent."""

from __future__ import annotations

from tf.types import Unknown

from tests.providers.checks import (
    all_of,
    at_least,
    at_most,
    conflicts,
    is_url,
    matching,
    not_empty,
    one_of,
    quoted,
    whole,
)
from tests.providers.coder.cron import FIVE, check_cron, check_script_cron
from tests.providers.coder.secrets import VARIABLE_NAME
from tests.providers.findings import Findings, Refusal
from tests.providers.kinds import Resource, new_id
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    Check,
    Nested,
    Values,
    computed,
    optional,
    required,
)

_AGENT = required("agent_id", STRING)


def _word(text: str, *allowed: str) -> Check:
    """Accept one of some words; ``text`` begins the error."""
    words = ", ".join(quoted(word) for word in allowed)

    def check(findings: Findings, path: str, value: str) -> None:
        if value not in allowed:
            findings.error(text.format(words=words, value=quoted(value)), path=path)

    return check


def _warn_of_hidden(findings: Findings, values: Values) -> None:
    if not values["hidden"]:
        return
    for name in ("display_name", "icon", "order"):
        if values[name] is not None:
            findings.warn(f"`{name}` set when app is hidden", path=name)


def _script_cron(findings: Findings, path: str, value: str) -> None:
    try:
        check_cron(value, FIVE)
    except ValueError:
        pass
    else:
        findings.warn(
            "The cron expression has five fields",
            "Seconds come first, so it does not mean what it means elsewhere.",
            path=path,
        )
    try:
        check_script_cron(value)
    except ValueError as error:
        findings.error(f"{value} is not a valid cron expression: {error}", path=path)


def _create_script(_findings: Findings, values: Values) -> None:
    if not (values["run_on_start"] or values["run_on_stop"] or values["cron"]):
        raise Refusal('at least one of "run_on_start", "run_on_stop", or "cron" must be set')
    if values["start_blocks_login"] and not values["run_on_start"]:
        raise Refusal('"start_blocks_login" can only be set if "run_on_start" is "true"')


def _create_devcontainer(_findings: Findings, values: Values) -> None:
    if values["subagent_id"] is Unknown:
        values["subagent_id"] = new_id()


AGENT_INSTANCE = Resource(
    name="agent_instance",
    version=0,
    parts=(IDENTITY, _AGENT, required("instance_id", STRING)),
)

EXTERNAL_AGENT = Resource(name="external_agent", parts=(IDENTITY, _AGENT))

APP = Resource(
    name="app",
    judge=all_of(
        conflicts("command", "url", "subdomain"),
        conflicts("url", "command"),
        conflicts("external", "healthcheck", "command", "subdomain", "share"),
        conflicts("healthcheck", "command"),
    ),
    create=_warn_of_hidden,
    parts=(
        IDENTITY,
        _AGENT,
        required(
            "slug",
            STRING,
            matching(
                "^[a-z0-9](-?[a-z0-9])*$",
                'invalid "coder_app" slug, must be a valid hostname'
                " (lower-case letters, digits and single hyphens): {value}",
            ),
        ),
        optional("display_name", STRING, at_most(64, "display name is too long")),
        optional("command", STRING),
        optional("url", STRING),
        optional("external", BOOL, default=False),
        optional("subdomain", BOOL),
        optional(
            "share",
            STRING,
            _word(
                "invalid app share {value}, must be one of {words}",
                "owner",
                "authenticated",
                "public",
            ),
            default="owner",
        ),
        optional("icon", STRING, is_url),
        optional("group", STRING, at_most(64, "group name is too long")),
        optional("order", NUMBER, whole),
        optional("hidden", BOOL, default=False),
        optional(
            "open_in",
            STRING,
            _word(
                'invalid "coder_app" open_in value, must be one of {words}: {value}',
                "tab",
                "slim-window",
            ),
            default="slim-window",
        ),
        optional("tooltip", STRING, at_most(2048, "tooltip is too long")),
        Nested(
            name="healthcheck",
            is_set=True,
            most=1,
            parts=(
                required("url", STRING),
                required("interval", NUMBER, whole),
                required("threshold", NUMBER, whole),
            ),
        ),
    ),
)

SCRIPT = Resource(
    name="script",
    create=_create_script,
    parts=(
        IDENTITY,
        _AGENT,
        required("display_name", STRING),
        required("script", STRING),
        optional("icon", STRING, is_url),
        optional("log_path", STRING),
        optional("cron", STRING, _script_cron),
        optional("start_blocks_login", BOOL, default=False),
        optional("run_on_start", BOOL, default=False),
        optional("run_on_stop", BOOL, default=False),
        optional("timeout", NUMBER, whole, at_least(1), default=0),
    ),
)

ENV = Resource(
    name="env",
    parts=(
        IDENTITY,
        _AGENT,
        required("name", STRING, VARIABLE_NAME),
        optional("value", STRING),
        optional(
            "merge_strategy",
            STRING,
            one_of("replace", "append", "prepend", "error"),
            default="replace",
        ),
    ),
)

DEVCONTAINER = Resource(
    name="devcontainer",
    create=_create_devcontainer,
    parts=(
        IDENTITY,
        _AGENT,
        required("workspace_folder", STRING, not_empty),
        optional("config_path", STRING),
        computed("subagent_id", STRING),
    ),
)
