"""Each deployment with one worker; what this machine lacks for that is named, and skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.hosts import (
    Container,
    Host,
    compose_worker,
    kubernetes_worker,
    make_machine,
    running_container,
    running_machine,
)
from tests.deployment.image import build_image
from tests.deployment.root import make_root, missing
from tests.harness.cluster import Cluster
from tests.harness.installation import new_cluster
from worker.embedded import Embedded

DEPLOYMENTS = ("systemd", "compose", "kubernetes")
PROGRAMS = {
    "systemd": ("debootstrap", "systemd-nspawn", "nsenter", "terraform"),
    "compose": ("debootstrap", "systemd-nspawn", "buildah", "podman", "runc", "terraform"),
}


@pytest.fixture(scope="session")
def root() -> Path:
    """A Debian root."""
    return make_root()


@pytest.fixture(scope="session")
def image(root: Path) -> str:
    """The image, built."""
    return build_image(root)


@pytest.fixture(scope="module")
def cluster(embedded: Embedded, template_database: str) -> Iterator[Cluster]:
    """Database, Redis and ledger cloud, which the deployed workers use."""
    with new_cluster(embedded, template_database, Path("/nowhere")) as cluster:
        cluster.ledger.chmod(0o777)
        yield cluster


@pytest.fixture(params=DEPLOYMENTS)
def host(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Host]:
    """A worker that is ready, in each deployment."""
    deployment = request.param
    _require(deployment)
    if deployment == "systemd":
        with running_machine(request.getfixturevalue("machine"), cluster) as found:
            yield found
    else:
        shipped = compose_worker() if deployment == "compose" else kubernetes_worker()
        with running_container(request.getfixturevalue("image"), cluster, shipped) as found:
            yield found


@pytest.fixture
def container(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Container]:
    """A container of the image, as compose has it."""
    _require("compose")
    with running_container(request.getfixturevalue("image"), cluster, compose_worker()) as found:
        yield found


@pytest.fixture(scope="session")
def machine(root: Path) -> Path:
    """A root with the unit installed."""
    return make_machine(root)


def _require(deployment: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start machines and containers")
    if lacking := missing(PROGRAMS.get(deployment, PROGRAMS["compose"])):
        pytest.skip(f"this machine lacks {', '.join(lacking)}")
