"""What people do to builds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from db.catalog.audit import Actor
from db.catalog.orphans import orphan_workspace
from db.errors import BuildActiveError
from tests.harness.chaos.strike import Fault, Strike

OPERATOR = Actor(username="operator")


@contextmanager
def cancel(strike: Strike) -> Iterator[None]:
    """Cancel each build."""
    for job in strike.hit:
        strike.site.cluster.cancel(job)
    yield


@contextmanager
def orphan_delete(strike: Strike) -> Iterator[None]:
    """Delete the workspaces as orphans: refused, since a build runs. Then one that rests."""
    for space in strike.hit.values():
        if _is_orphaned(strike, space.id):
            strike.problems.append(f"not refused: the orphan delete of workspace {space.id}")
    space = strike.random.choice(strike.tenants.resting())
    strike.judge.give_up(space.id)
    if _is_orphaned(strike, space.id):
        strike.tenants.replace(space)
    else:
        strike.problems.append(f"refused: the orphan delete of workspace {space.id}, which rests")
    yield


def _is_orphaned(strike: Strike, workspace_id: uuid.UUID) -> bool:
    try:
        with strike.site.cluster.database.begin() as session:
            orphan_workspace(session, workspace_id=workspace_id, actor=OPERATOR)
    except BuildActiveError:
        return False
    return True


OF_BUILDS = (
    Fault(name="cancel", action=cancel),
    Fault(name="orphan delete", action=orphan_delete),
)
