"""Where secrets are in the database, for a program that goes through all of them.

A scan returns a batch of rows in the order of their key, ``id`` and ``name``. It reads only the
first bytes of a state. ``owner_id`` is that of the value's place, and ``row_id`` the row that the
value is sealed for. A write names what it replaces, so it changes nothing if somebody else has
changed the value.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, TextClause

from db.engine import sql
from db.sealing import places
from db.sealing.places import Place

FIRST_UUID: object = uuid.UUID(int=0)
FIRST_NUMBER: object = 0


@dataclass(frozen=True, kw_only=True)
class States:
    """A column of states."""

    noun: str
    first: object  #: before all ids
    scan: TextClause  #: its rows have ``head``, the first bytes of the state
    read: TextClause
    seal: TextClause
    rewrap: TextClause

    def place(self, row: Row[Any]) -> Place:
        """Return the place of a row's state."""
        return places.state_of(row.owner_id)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A column of texts."""

    noun: str
    scan: TextClause  #: its rows have ``value``, and ``is_secret``, whether it must be sealed
    write: TextClause
    place_of: Callable[[uuid.UUID, str], Place]
    first: object = FIRST_UUID

    def place(self, row: Row[Any]) -> Place:
        """Return the place of a row's text."""
        return self.place_of(row.owner_id, row.name)


def _states_of(table: str, *, noun: str, first: object, scan: TextClause) -> States:
    return States(
        noun=noun,
        first=first,
        scan=scan,
        read=sql(f"SELECT provisioner_state FROM {table} WHERE id = :id"),  # noqa: S608 - a constant
        seal=sql(f"""
            UPDATE {table} SET provisioner_state = :new
            WHERE id = :id AND provisioner_state = :old
            RETURNING 1
        """),  # noqa: S608 - a constant
        rewrap=sql(f"""
            UPDATE {table}
            SET provisioner_state = overlay(provisioner_state PLACING :new FROM 1)
            WHERE id = :id AND substring(provisioner_state FROM 1 FOR octet_length(:old)) = :old
            RETURNING 1
        """),  # noqa: S608 - a constant
    )


def _write_of(table: str, key: str) -> TextClause:
    return sql(f"""
        UPDATE {table} SET value = :new
        WHERE {key} = :id AND name = :name AND value = :old
        RETURNING 1
    """)  # noqa: S608 - constants


STATES = (
    _states_of(
        "workspace_builds",
        noun="states of builds",
        first=FIRST_UUID,
        scan=sql("""
            SELECT id, '' AS name, workspace_id AS owner_id, id AS row_id,
                   substring(provisioner_state FROM 1 FOR :head) AS head
            FROM workspace_builds
            WHERE id > :after AND provisioner_state IS NOT NULL
            ORDER BY id
            LIMIT :limit
        """),
    ),
    _states_of(
        "replaced_states",
        noun="replaced states",
        first=FIRST_NUMBER,
        scan=sql("""
            SELECT state.id, '' AS name, build.workspace_id AS owner_id, build.id AS row_id,
                   substring(state.provisioner_state FROM 1 FOR :head) AS head
            FROM replaced_states AS state
            JOIN workspace_builds AS build ON build.id = state.workspace_build_id
            WHERE state.id > :after AND state.provisioner_state IS NOT NULL
            ORDER BY state.id
            LIMIT :limit
        """),
    ),
)
TEXTS = (
    Texts(
        noun="parameters of builds",
        scan=sql("""
            SELECT given.workspace_build_id AS id, given.name, build.workspace_id AS owner_id,
                   build.id AS row_id, given.value, coalesce(declared.sensitive, false) AS is_secret
            FROM workspace_build_parameters AS given
            JOIN workspace_builds AS build ON build.id = given.workspace_build_id
            LEFT JOIN template_version_parameters AS declared
                   ON declared.template_version_id = build.template_version_id
                  AND declared.name = given.name
            WHERE (given.workspace_build_id, given.name) > (:after, :after_name)
            ORDER BY given.workspace_build_id, given.name
            LIMIT :limit
        """),
        write=_write_of("workspace_build_parameters", "workspace_build_id"),
        place_of=places.parameter_of,
    ),
    Texts(
        noun="parameters of dry runs",
        scan=sql("""
            SELECT run.job_id AS id, given.key AS name, run.job_id AS owner_id,
                   run.job_id AS row_id, given.value,
                   coalesce(declared.sensitive, false) AS is_secret
            FROM template_version_dry_runs AS run
            CROSS JOIN LATERAL jsonb_each_text(run.parameters) AS given
            LEFT JOIN template_version_parameters AS declared
                   ON declared.template_version_id = run.template_version_id
                  AND declared.name = given.key
            WHERE run.job_id >= :after AND (run.job_id, given.key) > (:after, :after_name)
            ORDER BY run.job_id, given.key
            LIMIT :limit
        """),
        write=sql("""
            UPDATE template_version_dry_runs
            SET parameters = parameters || jsonb_build_object(CAST(:name AS text),
                                                              CAST(:new AS text))
            WHERE job_id = :id AND parameters ->> CAST(:name AS text) = :old
            RETURNING 1
        """),
        place_of=places.planned_parameter_of,
    ),
    Texts(
        noun="template variables",
        scan=sql("""
            SELECT template_version_id AS id, name, template_version_id AS owner_id,
                   template_version_id AS row_id, value, sensitive AS is_secret
            FROM template_version_variables
            WHERE (template_version_id, name) > (:after, :after_name) AND value IS NOT NULL
            ORDER BY template_version_id, name
            LIMIT :limit
        """),
        write=_write_of("template_version_variables", "template_version_id"),
        place_of=places.variable_of,
    ),
    Texts(
        noun="secrets of webhooks",
        scan=sql("""
            SELECT id, '' AS name, id AS owner_id, id AS row_id, secret AS value,
                   true AS is_secret
            FROM webhooks
            WHERE id > :after
            ORDER BY id
            LIMIT :limit
        """),
        write=sql("""
            UPDATE webhooks SET secret = :new WHERE id = :id AND secret = :old RETURNING 1
        """),
        place_of=lambda webhook_id, _name: places.webhook_secret_of(webhook_id),
    ),
)
