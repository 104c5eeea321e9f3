"""Prints a version of a template for people."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cli.printing import TABLE, print_rows
from cli.table import Columns, Row, plain
from db.reads.imports import (
    ModuleRow,
    ParameterRow,
    PresetRow,
    ResourceRow,
    VariableRow,
    VersionDetails,
)

VARIABLES: Columns[VariableRow] = {
    "VARIABLE": lambda row: row.name,
    "TYPE": lambda row: row.type,
    "VALUE": lambda row: row.value,
    "DEFAULT": lambda row: row.default_value,
    "REQUIRED": lambda row: "required" if row.required else "",
}
PARAMETERS: Columns[ParameterRow] = {
    "PARAMETER": lambda row: row.name,
    "TYPE": lambda row: row.type,
    "DEFAULT": lambda row: "required" if row.required else row.default_value,
    "OPTIONS": lambda row: ", ".join(str(option["value"]) for option in row.options),
    "DESCRIPTION": lambda row: row.description.partition("\n")[0],
}
PRESETS: Columns[PresetRow] = {
    "PRESET": lambda row: row.name,
    "VALUES": lambda row: ", ".join(f"{name}={value}" for name, value in row.parameters.items()),
    "DEFAULT": lambda row: "default" if row.is_default else "",
}
MODULES: Columns[ModuleRow] = {
    "MODULE": lambda row: row.key,
    "SOURCE": lambda row: row.source,
    "VERSION": lambda row: row.version,
}
RESOURCES: Columns[ResourceRow] = {
    "RESOURCE": lambda row: ".".join(filter(None, (row.module_path, row.type, row.name))),
    "WHEN": lambda row: row.transition,
    "DAILY COST": lambda row: row.daily_cost,
}


def print_details(details: VersionDetails) -> None:
    """Print the version as tables, those without rows left out."""
    state = "active" if details.is_active else "not active"
    click.echo(f"{plain(details.template_name)} {plain(details.name)}: {details.status}, {state}")
    if details.error:
        click.echo(f"Error: {plain(details.error)}")
    if details.failing:
        click.echo(f"Failing: {plain(details.failing)}; `provisionerd circuits` says until when")
    if details.message:
        click.echo(plain(details.message))
    _print_table(details.variables, VARIABLES)
    _print_table(details.parameters, PARAMETERS)
    _print_table(details.presets, PRESETS)
    _print_table(details.modules, MODULES)
    _print_table(details.resources, RESOURCES)


def _print_table(rows: Sequence[Row], columns: Columns[Row]) -> None:
    if rows:
        click.echo()
        print_rows(rows, columns, output=TABLE, kind="")
