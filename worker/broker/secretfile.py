"""Secret settings from files: named by a variable, or given by systemd as credentials.

Every program of the same user can read an environment variable; a file has an owner and a mode.
``PROVISIONERD_REDIS_URL`` may be in the file that ``PROVISIONERD_REDIS_URL_FILE`` names (a Docker
or Kubernetes secret), or be the credential ``redis_url`` (``LoadCredential=`` of a unit).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

PREFIX = "PROVISIONERD_"
FILE_SUFFIX = "_FILE"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
MAX_BYTES = 64 * 1024


class SecretFileError(Exception):
    """A secret setting cannot be read from its file; the message is one sentence."""


def find_secret(setting: str, environment: Mapping[str, str]) -> str | None:
    """Return the value of a secret setting; None if it is not set anywhere.

    Args:
        setting: its name without the prefix, in small letters, such as ``redis_url``.

    Raises:
        SecretFileError: it is given twice, or its file cannot be read.
    """
    variable = PREFIX + setting.upper()
    value, named = environment.get(variable), environment.get(variable + FILE_SUFFIX)
    if value and named:
        raise SecretFileError(f"{variable} and {variable}{FILE_SUFFIX} exclude each other")
    if value:
        return value
    if named:
        return _read(Path(named), variable + FILE_SUFFIX)
    folder = environment.get(CREDENTIALS)
    return _read_credential(Path(folder), setting) if folder else None


def _read_credential(folder: Path, setting: str) -> str | None:
    credential, meaning = folder / setting, f"the credential {setting}"
    try:
        credential.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # Not None: the process would start a server of its own in place of the configured one.
        raise SecretFileError(f"{meaning} cannot be read ({error.strerror})") from error
    return _read(credential, meaning)


def _read(path: Path, meaning: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SecretFileError(f"{meaning}: {path} is not a file")
            data = file.read(MAX_BYTES + 1)
        text = data.decode().strip()
    except OSError as error:
        raise SecretFileError(f"{meaning}: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise SecretFileError(f"{meaning}: {path} is not text") from None
    if len(data) > MAX_BYTES:
        raise SecretFileError(f"{meaning}: {path} has more than {MAX_BYTES} bytes")
    if not text:
        raise SecretFileError(f"{meaning}: {path} is empty")
    return text
