"""``provisionerd template``: push and list templates."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy.orm import Session

from cli.listing import list_command
from cli.opening import find_organization, transaction
from cli.options import organization_option, output_option, to_mapping
from cli.printing import JSON, Columns, print_json
from db.catalog.people import get_user
from db.catalog.templates import push_template
from db.errors import InvalidError, NotFoundError
from db.jobs.declarations import Template
from db.jobs.imports import VariableValue
from db.reads.people import first_member
from db.reads.templates import TemplateListing, list_templates
from db.schema.enums import ProvisionerType
from db.schema.tables import Organization, User
from provisioner.host.packing import pack_template
from provisioner.template.literals import as_stored
from provisioner.template.source import read_source

COLUMNS: Columns[TemplateListing] = {
    "NAME": lambda row: row.name,
    "ORGANIZATION": lambda row: row.organization_name,
    "VERSION": lambda row: row.active_version_name,
    "ENGINE": lambda row: row.provisioner,
    "WORKSPACES": lambda row: row.workspaces,
    "PUSHED": lambda row: row.updated_at,
}


@click.group()
def template() -> None:
    """Push and list templates."""


@dataclass(frozen=True, kw_only=True)
class Push:
    """A packed template with its declared variables, ready to be stored."""

    name: str
    archive: bytes
    variables: tuple[VariableValue, ...]
    provisioner: ProvisionerType
    tags: Mapping[str, str]
    message: str

    @property
    def missing_variables(self) -> list[str]:
        """The required variables that have no value."""
        return [item.name for item in self.variables if item.required and item.value is None]


@template.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--name", required=True, help="Name of the template; it is created if it does not exist."
)
@click.option(
    "--variable",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    callback=to_mapping,
    help="Value of a variable of the template. Repeatable.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    callback=to_mapping,
    help="Only workers with this tag run its builds. Repeatable.",
)
@click.option("--message", default="", help="Description of the changes in this version.")
@click.option(
    "--provisioner",
    type=click.Choice([kind.value for kind in ProvisionerType]),
    default=ProvisionerType.TERRAFORM.value,
    show_default=True,
    help="Engine; echo runs a script and is for tests.",
)
@click.option("--author", metavar="USER", help="Author; otherwise the organization's first member.")
@organization_option
@output_option
def push(
    *,
    directory: Path,
    name: str,
    values: dict[str, str],
    tags: dict[str, str],
    message: str,
    provisioner: str,
    author: str | None,
    organization: str | None,
    output: str,
) -> None:
    r"""Store the folder DIRECTORY as the new active version of a template.

    The files are read, not run. Dot files, state files, terraform.tfvars and
    *.auto.tfvars are left out. New workspaces use the new version; existing ones
    keep their version until `provisionerd workspace start NAME --update`.

    \b
    Example:
        provisionerd template push ./template --name dev --variable region=eu
    """
    engine = ProvisionerType(provisioner)
    # Read the archive, not the folder: a worker unpacks only what was packed.
    archive = pack_template(directory)
    made = Push(
        name=name,
        archive=archive,
        variables=tuple(_variables(read_source(archive, engine), values)),
        provisioner=engine,
        tags=tags,
        message=message,
    )
    with transaction() as session:
        version = _store(session, made, organization=organization, author=author)
    _warn(made)
    if output == JSON:
        print_json({"template": name, "version": version, "tags": tags})
    else:
        click.echo(f"Template {name} is at {version}.")


template.add_command(
    list_command(
        "templates",
        list_templates,
        COLUMNS,
        description=r"""List the templates.

        \b
        Example:
            provisionerd template list
        """,
    )
)


def _variables(read: Template, values: Mapping[str, str]) -> Iterator[VariableValue]:
    _refuse_unknown(values, [variable.name for variable in read.variables])
    stored = as_stored(read.variables, values)
    for variable in read.variables:
        yield VariableValue(
            name=variable.name,
            value=stored.get(variable.name),
            type=variable.type,
            description=variable.description,
            default_value=_default_text(variable.default),
            required=variable.required,
            sensitive=variable.sensitive,
        )


def _refuse_unknown(values: Mapping[str, str], declared: list[str]) -> None:
    unknown = sorted(values.keys() - set(declared))
    if unknown:
        raise InvalidError(
            f"the template declares no variable {unknown[0]!r};"
            f" it declares {', '.join(declared) or 'none'}"
        )


def _default_text(default: object | None) -> str:
    if default is None:
        return ""
    return default if isinstance(default, str) else json.dumps(default)


def _store(session: Session, made: Push, *, organization: str | None, author: str | None) -> str:
    home = find_organization(session, organization)
    version = push_template(
        session,
        organization=home,
        name=made.name,
        archive=made.archive,
        created_by=_author(session, home, author),
        variables=made.variables,
        provisioner=made.provisioner,
        tags=made.tags,
        message=made.message,
    )
    return version.name


def _author(session: Session, organization: Organization, name: str | None) -> User:
    author = get_user(session, name) if name else first_member(session, organization)
    if author is None:
        raise NotFoundError(
            f"organization {organization.name!r} has no members;"
            " `provisionerd user create NAME` creates the first one"
        )
    return author


def _warn(made: Push) -> None:
    if made.missing_variables:
        options = " ".join(f"--variable {name}=VALUE" for name in made.missing_variables)
        click.echo(
            f"Warning: builds will fail until the template is pushed with {options}.", err=True
        )
