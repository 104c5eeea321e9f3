"""The settings about the platform that the workspaces belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from provisioner.platform.agentscripts import AgentScriptsError, read_scripts
from provisioner.platform.httphook import key_of
from worker.broker.secretfile import PREFIX
from worker.textlists import TextList


class PlatformSettings(BaseSettings):
    """The URL of the platform, what it adds to builds, and whose builds this worker runs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    access_url: str = Field(
        "",
        description="where users and agents reach the platform, such as https://coder.example.com;"
        " when not set, templates get no scripts that start agents",
    )
    agent_scripts_dir: Path | None = Field(
        None,
        description="folder with scripts that start agents, named linux, linux_arm64, windows, ...;"
        " in place of the built-in ones",
    )
    build_hook: str = Field(
        "",
        description="where a build asks for secrets of its owner: an http(s) URL, or the name of a"
        " Python entry point in provisionerd.build_hooks",
    )
    build_hook_secret: SecretStr | None = Field(
        None, description="signs the requests to BUILD_HOOK, as Standard Webhooks says"
    )
    build_hook_seconds: float = Field(
        10,
        gt=0,
        le=600,
        allow_inf_nan=False,
        description="how long a build waits for the answer of BUILD_HOOK",
    )
    organizations: TextList = Field(
        (),
        description="organizations (names) whose jobs this worker runs, comma-separated; when not"
        " set, those of all",
    )

    @field_validator("agent_scripts_dir", mode="after")
    @classmethod
    def _expand_folder(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @model_validator(mode="after")
    def _check_platform(self) -> Self:
        if self.access_url:
            _check_url("ACCESS_URL", self.access_url)
        if self.agent_scripts_dir:
            try:
                read_scripts(self.agent_scripts_dir)
            except AgentScriptsError as error:
                raise ValueError(f"AGENT_SCRIPTS_DIR: {error}") from error
        self._check_hook()
        return self

    @property
    def build_hook_is_url(self) -> bool:
        """Whether the hook is asked by HTTP."""
        return "://" in self.build_hook

    def _check_hook(self) -> None:
        if not self.build_hook_is_url:
            return
        _check_url("BUILD_HOOK", self.build_hook)
        if self.build_hook_secret is None:
            raise ValueError(
                "BUILD_HOOK_SECRET is needed with a URL, so that the platform knows who asks"
            )
        try:
            key_of(self.build_hook_secret.get_secret_value())
        except ValueError as error:
            raise ValueError(f"BUILD_HOOK_SECRET: {error}") from None


def _check_url(name: str, url: str) -> None:
    """Refuse what is not an http(s) URL.

    Raises:
        ValueError: it is not one, or has a user name or a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} must be an http:// or https:// URL")
    if parts.username or parts.password:
        raise ValueError(f"{name} must have no user name and no password in it")
