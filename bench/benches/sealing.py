"""What sealing adds to a build whose state has a megabyte."""

from __future__ import annotations

import base64
import itertools
import os
from typing import Any

from bench.measure import Result, pair, timed
from bench.services import Services
from db.catalog.workspaces import create_workspace
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Organization, User, Workspace
from db.sealing.keyring import KEY_BYTES
from tests.harness.factory import tar_archive
from worker.enqueue import enqueue_build

# A state has input and output: half a megabyte each, which can be compressed to the half.
MAIN = b"""
variable "workspace_transition" { default = "start" }
resource "terraform_data" "dev" {
  input = {
    at   = var.workspace_transition
    text = join("", [for i in setproduct(range(1000), range(4)) : sha512(join("-", i))])
  }
}
"""
TAGS = {"sealed": "yes"}


def run(services: Services, rounds: int = 15) -> list[Result]:
    organization = services.factory.organization(everyone_allowance=1000)
    owner = services.factory.user(organization=organization)
    plain = _workspace(services, organization, owner)
    sealed = _workspace(services, organization, owner, tags=TAGS)
    key = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    folder = services.data_dir / "sealed"
    folder.mkdir(mode=0o711)
    with (
        services.worker(concurrency=1),
        services.worker(
            concurrency=1,
            tags="sealed=yes",
            encryption_keys=key,
            worker_name="sealed",
            work_dir=folder,
        ),
    ):
        transitions = {
            id_: itertools.cycle([Transition.START, Transition.STOP])
            for id_ in (plain.id, sealed.id)
        }

        def build(on: Workspace) -> float:
            return timed(lambda: _build(services, on, next(transitions[on.id])))

        for workspace in (plain, sealed):
            build(workspace)
            build(workspace)
        found = pair(lambda: build(sealed), lambda: build(plain), rounds=rounds)
    return [
        found.result(
            "sealing",
            "build with a state of 1 MB, sealed, against the same as plain text",
            unit="s",
            reach="<= 1.05",
            aim="<= 1.03",
        )
    ]


def _workspace(
    services: Services, organization: Organization, owner: User, **how: Any
) -> Workspace:
    template = services.factory.template(
        organization=organization,
        created_by=owner,
        archive=tar_archive({"main.tf": MAIN}),
        provisioner=ProvisionerType.TERRAFORM,
        **how,
    )
    with services.database.begin() as session:
        return create_workspace(session, owner=owner, template=template, name=template.name)


def _build(services: Services, on: Workspace, transition: Transition) -> None:
    with services.database.begin() as session:
        queued = enqueue_build(session, workspace_id=on.id, transition=transition)
    services.wait_for_build(queued.job_id)
