"""The user who makes a change by hand, for the audit log."""

from __future__ import annotations

import os
import pwd

import click
from sqlalchemy.orm import Session

from db.catalog.audit import Actor
from db.catalog.people import get_user

as_option = click.option(
    "--as",
    "as_user",
    metavar="USER",
    help="User for the audit log; otherwise the user of the operating system.",
)


def find_actor(session: Session, username: str | None) -> Actor:
    """Return the named user, or the user of the operating system if None.

    Raises:
        NotFoundError: there is no such user.
    """
    if username:
        return Actor.of(get_user(session, username))
    try:
        return Actor(username=pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # in a container, a user may have no name
        return Actor(username=str(os.getuid()))
