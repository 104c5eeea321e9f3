"""``provisionerd template pull`` and ``diff``: the files of a version."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from sqlalchemy.orm import Session

from cli.changing import open_client
from cli.opening import find_organization, transaction
from cli.options import organization_option
from cli.remote import templates
from cli.remote.server import has_server
from cli.table import plain
from db.catalog.templates import get_template, get_version
from db.errors import InvalidError
from db.reads.templates import get_version_source
from provisioner.host.archive import read_archive, unpack_template


@click.command()
@click.argument("name")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--version", "version_name", metavar="NAME", help="Otherwise the active version.")
@click.option("--tar", "as_tar", is_flag=True, help="Write a tar to standard output.")
@organization_option
def pull(
    name: str,
    directory: Path | None,
    version_name: str | None,
    as_tar: bool,
    organization: str | None,
) -> None:
    r"""Write the files of a version of the template NAME to DIRECTORY.

    DIRECTORY must not exist or must be empty; by default it has the name of the
    template.

    \b
    Examples:
        provisionerd template pull dev ./dev --version v3
        provisionerd template pull dev --tar > dev.tar
    """
    if as_tar and directory:
        raise click.UsageError("--tar writes to standard output; give no DIRECTORY")
    archive = _archive(name, version_name, organization)
    if as_tar:
        sys.stdout.buffer.write(archive)
        return
    _unpack(archive, directory or Path(name))


def _unpack(archive: bytes, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidError(f"{target} exists and is not an empty directory")
    unpack_template(archive, target)
    click.echo(f"The files are in {target}.")


@click.command()
@click.argument("name")
@click.argument("old")
@click.argument("new", required=False)
@organization_option
def diff(name: str, old: str, new: str | None, organization: str | None) -> None:
    r"""Show how the files of two versions of the template NAME differ.

    NEW is by default the active version. The exit status is 1 if they differ.

    \b
    Example:
        provisionerd template diff dev v1 v2
    """
    before = _files(_archive(name, old, organization))
    after = _files(_archive(name, new, organization))
    lines = list(_differences(before, after, old=old, new=new or "active"))
    for line in lines:
        click.echo(line)
    sys.exit(1 if lines else 0)


def _archive(name: str, version_name: str | None, organization: str | None) -> bytes:
    if has_server():
        return templates.download(open_client(), name, version_name, organization)
    with transaction() as session:
        return _stored(session, name, version_name, organization)


def _stored(
    session: Session, name: str, version_name: str | None, organization: str | None
) -> bytes:
    template = get_template(
        session, name=name, organization=find_organization(session, organization)
    )
    version_id = (
        get_version(session, template_id=template.id, name=version_name)
        if version_name
        else template.active_version_id
    )
    if version_id is None:
        raise templates.no_active_version(name)
    return get_version_source(session, version_id)[1]


def _files(archive: bytes) -> dict[str, bytes]:
    return {name: bytes(content) for name, content in read_archive(archive).items()}


def _differences(
    before: Mapping[str, bytes], after: Mapping[str, bytes], *, old: str, new: str
) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        try:
            old_lines = (was or b"").decode().splitlines()
            new_lines = (now or b"").decode().splitlines()
        except UnicodeDecodeError:
            yield f"Binary file {plain(name)} differs"
            continue
        for line in difflib.unified_diff(
            old_lines, new_lines, f"{old}/{name}", f"{new}/{name}", lineterm=""
        ):
            yield plain(line)
