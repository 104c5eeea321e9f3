"""Owners with a small budget each, their workspaces, and which builds come next."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from db.schema.enums import JobStatus, Transition
from db.schema.tables import User
from tests.harness.chaos.site import Site

OWNERS = 3
SPACES_PER_OWNER = 3
TEMPLATE = "gated"


@dataclass(kw_only=True, eq=False)
class Space:
    """A workspace."""

    id: uuid.UUID
    owner: User
    is_started: bool = False
    transition: Transition = Transition.START  #: of the last build


@dataclass(kw_only=True)
class Tenants:
    """Everybody who builds."""

    site: Site
    random: random.Random
    owners: list[User] = field(default_factory=list)
    spaces: list[Space] = field(default_factory=list)
    _chosen: list[Space] = field(default_factory=list)

    def __post_init__(self) -> None:
        cluster = self.site.cluster
        self.owners = [
            cluster.factory.user(organization=cluster.organization) for _ in range(OWNERS)
        ]
        for owner in self.owners * SPACES_PER_OWNER:
            self._add(owner)

    def enqueue(self, count: int) -> Mapping[uuid.UUID, Space]:
        """Enqueue a build for each of ``count`` workspaces; return the jobs."""
        self._chosen = self.random.sample(self.spaces, count)
        return {self._enqueue(space, self._transition(space)): space for space in self._chosen}

    def resting(self) -> Sequence[Space]:
        """The workspaces that are not built in this round."""
        return [space for space in self.spaces if space not in self._chosen]

    def delete_all(self) -> Sequence[uuid.UUID]:
        """Enqueue a delete of each workspace; return the jobs."""
        return [self._enqueue(space, Transition.DELETE) for space in list(self.spaces)]

    def note_ends(self, jobs: Mapping[uuid.UUID, Space]) -> None:
        """Take notice of what the builds did."""
        for job_id, space in jobs.items():
            if self.site.cluster.status(job_id) != JobStatus.SUCCEEDED:
                continue
            space.is_started = space.transition == Transition.START
            if space.transition == Transition.DELETE:
                self.replace(space)

    def replace(self, space: Space) -> None:
        """Forget a workspace that was deleted; its owner makes another."""
        self.spaces.remove(space)
        self._add(space.owner)

    def _add(self, owner: User) -> None:
        made = self.site.cluster.workspace(
            TEMPLATE, owner=owner, gate=str(self.site.gates.of_template)
        )
        self.spaces.append(Space(id=made, owner=owner))

    def _transition(self, space: Space) -> Transition:
        chance = self.random.random()
        if not space.is_started:
            return Transition.START
        if chance < 0.15:
            return Transition.DELETE
        return Transition.STOP if chance < 0.75 else Transition.START

    def _enqueue(self, space: Space, transition: Transition) -> uuid.UUID:
        space.transition = transition
        return self.site.cluster.enqueue(space.id, transition)
