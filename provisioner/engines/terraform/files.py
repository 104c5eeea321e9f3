"""What the engine puts into the directory of a build, and what it takes out of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from provisioner.engines.port import EngineError, Template, TemplateVariable
from provisioner.host.archive import TemplateFiles
from provisioner.host.workdir import ERRORED_STATE_FILE, STATE_FILE

DATA_DIR = ".terraform"
LOCK_FILE = ".terraform.lock.hcl"
PLAN_FILE = "terraform.tfplan"
VARIABLES_FILE = "provisionerd.tfvars.json"
EPHEMERAL_FILE = "provisionerd.ephemeral.tfvars.json"

_PLANTED = (
    DATA_DIR,
    f"{STATE_FILE}*",
    f".{STATE_FILE}*",
    ERRORED_STATE_FILE,
    PLAN_FILE,
    EPHEMERAL_FILE,
)
_LOCAL_BACKEND = {"terraform": {"backend": {"local": {"path": STATE_FILE}}}}


def prepare(directory: Path, state: bytes | None) -> None:
    """Make the unpacked template ready for ``init``: nothing planted, our backend, our state.

    A template's own ``backend`` or ``cloud`` block is overridden by a local backend, because the
    state is kept by the caller and nowhere else.

    Raises:
        OSError: the directory can not be written.
    """
    for pattern in _PLANTED:
        for path in directory.glob(pattern):
            _remove(path)
    name = os.fsdecode(_last_override_name(directory))
    _write_new(directory / name, json.dumps(_LOCAL_BACKEND).encode())
    if state:
        _write_new(directory / STATE_FILE, state)


def undo_init(directory: Path, files: TemplateFiles) -> None:
    """Remove what an init made, so that another one starts from the template.

    Args:
        files: the template, whose own lock file an init may have completed.

    Raises:
        OSError: the directory can not be written.
    """
    _remove(directory / DATA_DIR)
    _remove(directory / LOCK_FILE)
    if LOCK_FILE in files:
        _write_new(directory / LOCK_FILE, bytes(files[LOCK_FILE]))


def has_own_lock_file(directory: Path, files: TemplateFiles) -> bool:
    """Return whether the lock file in the directory is the template's, as its author wrote it.

    Raises:
        OSError: it cannot be read.
    """
    return LOCK_FILE in files and (directory / LOCK_FILE).read_bytes() == bytes(files[LOCK_FILE])


def write_variables(
    directory: Path, template: Template, values: Mapping[str, str], *, is_delete: bool
) -> None:
    """Write the file for ``-var-file``, with only those variables that the template declares.

    Values of ephemeral variables stand in a second file as well: they are not in the plan, so the
    apply needs them again, and takes no others.

    Args:
        is_delete: whether null stands for a required value that is missing: what exists can be
            destroyed without it.

    Raises:
        EngineError: the value of a list, map or object variable is not JSON.
        OSError: the directory can not be written.
    """
    given = {
        variable.name: _typed(variable, values[variable.name])
        for variable in template.variables
        if variable.name in values
    }
    if is_delete:
        missing = [variable for variable in template.variables if variable.required]
        given = {**dict.fromkeys(variable.name for variable in missing), **given}
    ephemeral = {variable.name for variable in template.variables if variable.ephemeral}
    again = {name: value for name, value in given.items() if name in ephemeral}
    for name, values_of_file in ((VARIABLES_FILE, given), (EPHEMERAL_FILE, again)):
        _remove(directory / name)
        if values_of_file or name == VARIABLES_FILE:
            _write_new(directory / name, json.dumps(values_of_file).encode())


def _last_override_name(directory: Path) -> bytes:
    """Return a name that sorts after all others: of several overrides Terraform takes the last."""
    last = max([*os.listdir(os.fsencode(directory)), b"zz_provisionerd"])  # noqa: PTH208 -- bytes
    return last + b"_override.tf.json"


def _typed(variable: TemplateVariable, value: str) -> object:
    """Return what stands for ``value`` in JSON. Terraform itself makes numbers out of strings."""
    if variable.type.startswith(("string", "number", "bool")):
        return value
    try:
        parsed: object = json.loads(value)
    except ValueError as error:
        if variable.type in {"", "any", "dynamic"}:
            return value
        raise EngineError(
            f'the value of the template variable "{variable.name}" must be JSON, '
            f"because its type is {variable.type}"
        ) from error
    return parsed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that only we may read. O_EXCL: never through a link of the template."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
