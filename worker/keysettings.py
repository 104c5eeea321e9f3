"""The settings about the keys that secrets in the database are sealed with."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.sealing.keyring import NO_KEYS, Keyring, KeysError, read_key_file, read_keys
from worker.broker.secretfile import PREFIX


class KeySettings(BaseSettings):
    """The keys of the operator."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    encryption_keys: SecretStr | None = Field(
        None,
        description="keys for states and secrets in the database, each 32 bytes as base64,"
        " comma-separated: the first seals, all open; when not set, they are stored as plain text",
    )
    encryption_keys_file: Path | None = Field(
        None,
        description="a file with these keys, such as a credential of systemd; separated by commas"
        " or white space",
    )

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.encryption_keys and self.encryption_keys_file:
            raise ValueError("ENCRYPTION_KEYS and ENCRYPTION_KEYS_FILE exclude each other")
        try:
            _ = self.keyring
        except KeysError as error:
            raise ValueError(f"ENCRYPTION_KEYS: {error}") from None
        return self

    @property
    def keyring(self) -> Keyring:
        """The keys; none if no setting names some."""
        if self.encryption_keys:
            return read_keys(self.encryption_keys.get_secret_value())
        if self.encryption_keys_file:
            return read_key_file(self.encryption_keys_file)
        return NO_KEYS
