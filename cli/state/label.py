"""The labels by which the command line names the states of a workspace."""

from __future__ import annotations

import re

import click


class BuildLabel(click.ParamType[tuple[int, int]]):
    """The label of a state: ``5`` is the state of build 5, ``5.1`` the first push after it."""

    name = "N[.K]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return build number and position, or fail with the expected format."""
        match = re.fullmatch(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?", str(value))
        if match is None:
            self.fail(f"{value!r} is not a build number, such as 5 or 5.1", param, ctx)
        return int(match[1]), int(match[2] or 0)


build_option = click.option(
    "--build",
    "label",
    type=BuildLabel(),
    help="The state of this build, or N.K as in `state list`; otherwise the newest.",
)
