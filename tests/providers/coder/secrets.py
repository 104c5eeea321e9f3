"""The data sources that hand out what a person has given: tokens of other services, secrets."""

from __future__ import annotations

from tf.types import Unknown

from tests.providers.checks import matching, quoted
from tests.providers.coder.environment import is_build, text
from tests.providers.findings import Findings, Refusal
from tests.providers.kinds import DataSource
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    STRING,
    Values,
    computed,
    optional,
    required,
)

VARIABLE_NAME = matching(
    "^[a-zA-Z_][a-zA-Z0-9_]*$",
    "invalid value for {path} (must be a valid environment variable name)",
)


def _fill_auth(values: Values) -> None:
    if not values["id"]:
        raise Refusal("id is required")
    values["access_token"] = text(f"CODER_EXTERNAL_AUTH_ACCESS_TOKEN_{values['id']}")


def _judge_secret(findings: Findings, config: Values) -> None:
    given = [config.get("env"), config.get("file")]
    if Unknown not in given and sum(value is not None for value in given) != 1:
        findings.error("exactly one of `env` or `file` must be set")


def _fill_secret(values: Values) -> None:
    env, file = values["env"], values["file"]
    values["id"] = f"env:{env}" if env else f"file:{file}"
    values["value"] = text(
        f"CODER_SECRET_ENV_{env}" if env else f"CODER_SECRET_FILE_{file.encode().hex()}"
    )
    is_needed = is_build() and text("CODER_WORKSPACE_TRANSITION") == "start"
    if is_needed and not values["value"]:
        what = f"environment variable {quoted(env)}" if env else f"file {quoted(file)}"
        raise Refusal(
            f"Missing required secret: {what}",
            f"Required: {what}\nHelp message: {values['help_message']}\n"
            "Add the secret to your account and start the workspace again.",
        )


EXTERNAL_AUTH = DataSource(
    name="external_auth",
    fill=_fill_auth,
    parts=(
        required("id", STRING),
        optional("optional", BOOL),
        computed("access_token", STRING, sensitive=True),
    ),
)

SECRET = DataSource(
    name="secret",
    judge=_judge_secret,
    fill=_fill_secret,
    parts=(
        IDENTITY,
        optional("env", STRING, VARIABLE_NAME),
        optional("file", STRING, matching("^(/|~/)", "{path} must start with / or ~/")),
        required("help_message", STRING),
        computed("value", STRING, sensitive=True),
    ),
)
