"""The files that the engine writes into the directory of a build, and removes from it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from db.jobs.declarations import PARAMETER_PREFIX, Template, TemplateVariable
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.cache.lockfile import LOCK_FILE_LIMIT
from provisioner.host.archive import TemplateFiles
from provisioner.host.reading import read_file
from provisioner.host.removal import remove_tree
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
    """Prepare the unpacked template for ``init``: nothing planted, our backend, our state.

    A local backend overrides the template's ``backend`` or ``cloud`` block, because only the
    caller stores the state.

    Raises:
        OSError: the directory cannot be written.
    """
    for pattern in _PLANTED:
        for path in directory.glob(pattern):
            _remove(path)
    name = os.fsdecode(_last_override_name(directory))
    _write_new(directory / name, json.dumps(_LOCAL_BACKEND).encode())
    if state:
        _write_new(directory / STATE_FILE, state)


def undo_init(directory: Path, files: TemplateFiles) -> None:
    """Undo an init, so that another one starts from the template.

    Args:
        files: the template, whose lock file an init may have completed.

    Raises:
        OSError: the directory cannot be written.
    """
    _remove(directory / DATA_DIR)
    _remove(directory / LOCK_FILE)
    if LOCK_FILE in files:
        _write_new(directory / LOCK_FILE, bytes(files[LOCK_FILE]))


def completed_lock_file(directory: Path, files: TemplateFiles) -> bytes | None:
    """Return the lock file that an init wrote; None if it left the template's own or none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        found = read_file(directory, LOCK_FILE, limit=LOCK_FILE_LIMIT)
    except FileNotFoundError:
        return None
    own = files.get(LOCK_FILE)
    return None if own is not None and found == bytes(own) else found


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only this user may read; on disk it is complete, or as it was before.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.draft")
    _remove(draft)
    try:
        _write_new(draft, data)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def write_variables(
    directory: Path, template: Template, values: Mapping[str, str], *, is_delete: bool
) -> None:
    """Write the file for ``-var-file``, with only the variables that the template declares.

    Values of ephemeral variables are also written to a second file: they are not in the plan, so
    the apply needs them again, and accepts no others.

    Args:
        is_delete: whether a required value that is missing is written as null, because existing
            resources can be destroyed without it.

    Raises:
        EngineError: the value of a list, map or object variable is not JSON.
        OSError: the directory cannot be written.
    """
    given = _typed_values(template, values)
    if is_delete:
        given = {**_nulls(template), **given}
    again = _ephemeral_values(template, given)
    _remove(directory / VARIABLES_FILE)
    _remove(directory / EPHEMERAL_FILE)
    _write_new(directory / VARIABLES_FILE, json.dumps(given).encode())
    if again:
        _write_new(directory / EPHEMERAL_FILE, json.dumps(again).encode())


def _declared(template: Template) -> Iterator[TemplateVariable]:
    """Yield every variable that the template declares, those of parameters included."""
    yield from template.variables
    for parameter in template.parameters:
        if parameter.variable_type is not None:
            yield TemplateVariable(
                name=f"{PARAMETER_PREFIX}{parameter.name}",
                required=parameter.required,
                type=parameter.variable_type,
                ephemeral=parameter.ephemeral,
            )


def _typed_values(template: Template, values: Mapping[str, str]) -> dict[str, object]:
    return {
        variable.name: _typed(variable, values[variable.name])
        for variable in _declared(template)
        if variable.name in values
    }


def _nulls(template: Template) -> dict[str, object]:
    return {variable.name: None for variable in _declared(template) if variable.required}


def _ephemeral_values(template: Template, values: Mapping[str, object]) -> dict[str, object]:
    names = {variable.name for variable in _declared(template) if variable.ephemeral}
    return {name: value for name, value in values.items() if name in names}


def _last_override_name(directory: Path) -> bytes:
    """Return a name that sorts after all others: the last override file takes precedence."""
    last = max([*os.listdir(os.fsencode(directory)), b"zz_provisionerd"])  # noqa: PTH208 -- bytes
    return last + b"_override.tf.json"


def _typed(variable: TemplateVariable, value: str) -> object:
    """Return ``value`` for JSON. Terraform itself converts strings to numbers."""
    if variable.type.startswith(("string", "number", "bool")):
        return value
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError) as error:
        if variable.type in {"", "any", "dynamic"}:
            return value
        raise EngineError(
            f'the value of the template variable "{variable.name}" must be JSON, '
            f"because its type is {variable.type}"
        ) from error
    return parsed


def _remove(path: Path) -> None:
    if not remove_tree(path):
        raise OSError(errno.EBUSY, "cannot be removed", str(path))


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that only this user may read. O_EXCL: never through a link of the template."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
