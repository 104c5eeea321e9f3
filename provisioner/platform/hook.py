"""What a build asks the platform for, and what it gets: secrets of the workspace's owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from provisioner.host.interrupt import Interrupt

MAX_SECRET = 64 * 1024
"""Maximum characters of one secret."""

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TaskId = Annotated[str, StringConstraints(pattern=f"^({_UUID})?$")]
Secret = Annotated[str, StringConstraints(max_length=MAX_SECRET, pattern=r"^[^\x00]*$")]


class HookError(Exception):
    """The hook did not answer as it must; the message is one sentence, without any secret."""


class BuildHookError(Exception):
    """The hook did not give the secrets of a start; the message is the build's error."""


class BuildSecrets(BaseModel):
    """The answer of a hook. Everything may be left out; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    session_token: Secret = ""  #: of the owner, for programs in the workspace
    oidc_access_token: Secret = ""
    ssh_public_key: Secret = ""  #: of the owner, for git
    ssh_private_key: Secret = ""
    task_id: TaskId = ""  #: of the task that the workspace is for
    task_prompt: Secret = ""
    external_auth: dict[str, Secret] = Field(default={}, max_length=100)  #: tokens by service

    @property
    def sensitive_values(self) -> frozenset[str]:
        """The values that must not appear in logs and errors."""
        single = (self.session_token, self.oidc_access_token, self.ssh_private_key)
        return frozenset(filter(None, (*single, *self.external_auth.values())))


@dataclass(frozen=True, kw_only=True)
class HookRequest:
    """A build that asks: its id, and everything that the hook may need to know."""

    build_id: str
    attempt: int
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the body that the hook gets."""
        return {
            "type": "workspace_build.secrets",
            "build_id": self.build_id,
            "attempt": self.attempt,
            **self.facts,
        }


class BuildHook(Protocol):
    """Answer a build, within the deadline that the operator set."""

    def __call__(self, request: HookRequest, interrupt: Interrupt, /) -> BuildSecrets:
        """Return the secrets of the build.

        Raises:
            HookError: there is no usable answer in time, or the build was interrupted.
        """
        ...


def read_answer(answer: object) -> BuildSecrets:
    """Return a checked answer.

    Raises:
        HookError: it has another form; the message names the first wrong field, not its value.
    """
    try:
        return BuildSecrets.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"][:1]) or "the answer"
        raise HookError(f"its answer is not valid: {place}: {first['msg']}") from None
