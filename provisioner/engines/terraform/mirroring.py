"""Fill a mirror with the providers of a template, for hosts without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from provisioner.engines.port import EngineError
from provisioner.engines.terraform.messages import plain_text
from provisioner.host import process
from provisioner.host.archive import unpack_template
from provisioner.host.interrupt import Interrupt

_TIMEOUT = timedelta(hours=1)
_GRACE = timedelta(seconds=5)
_FRAME = " \t│╷╵\n"


def mirror_providers(
    binary: Path,
    archive: bytes,
    target: Path,
    *,
    environment: Mapping[str, str],
    platforms: Sequence[str] = (),
    on_line: Callable[[str], None],
) -> None:
    """Download the providers that a template needs, with their signatures checked by Terraform.

    The template is unpacked elsewhere, and its modules are downloaded there. No code of it runs.

    Args:
        archive: the template, as it is pushed.
        target: the folder of the mirror; it is made if it is missing, and keeps what it has.
        environment: that of Terraform.
        platforms: such as ``linux_arm64``; by default that of this host.
        on_line: gets each line of Terraform's output.

    Raises:
        ArchiveError: the template cannot be unpacked.
        EngineError: Terraform cannot be run, or failed; the message is its error.
        OSError: the folder cannot be made.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = [f"-platform={platform}" for platform in platforms]
    with TemporaryDirectory(prefix="provisionerd-") as folder:
        template = Path(folder, "template")
        unpack_template(archive, template)
        for arguments in (
            ["get", "-no-color"],
            ["providers", "mirror", *wanted, str(target.absolute())],
        ):
            _run([str(binary), *arguments], template, environment, on_line)


def _run(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    errors: list[str] = []
    try:
        ended = process.run(
            command,
            cwd=directory,
            environment=environment,
            on_stdout=lambda line: on_line(plain_text(line.rstrip())),
            on_stderr=errors.append,
            interrupt=Interrupt(),
            timeout=_TIMEOUT,
            grace=_GRACE,
        )
    except OSError as error:
        raise EngineError(f'cannot run "{command[0]}": {process.reason_of(error)}') from error
    if ended.returncode != 0:
        what = " ".join(word for word in command[1:3] if not word.startswith("-"))
        explanation = _explanation(errors) or f"status {ended.returncode}"
        raise EngineError(f"terraform {what}: {explanation}")


def _explanation(lines: Sequence[str]) -> str:
    """Return what Terraform printed, without the frame around it."""
    words = " ".join(filter(None, (line.strip(_FRAME) for line in lines)))
    return plain_text(words).removeprefix("Error: ")
