"""What can be said of the image without a container engine: nothing here builds it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement

from provisioner.engines.port import TERRAFORM_VERSION
from provisioner.engines.terraform.binary import RELEASE_URL
from provisioner.engines.terraform.release.release import Trust
from tests.unit.deploy.files import DEPLOY, ROOT, settings_of
from worker.process import init
from worker.settings import Settings

DOCKERFILE = (DEPLOY / "docker/Dockerfile").read_text()
IGNORED = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions() -> list[tuple[str, str]]:
    """Return the instructions, continuation lines joined and comments left out."""
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line]


def last_stage() -> list[tuple[str, str]]:
    everything = instructions()
    start = max(number for number, (name, _) in enumerate(everything) if name == "FROM")
    return everything[start:]


def argument(name: str) -> str:
    return next(
        text.partition("=")[2]
        for kind, text in instructions()
        if kind == "ARG" and text.startswith(f"{name}=")
    )


def locked(path: str) -> dict[str, str]:
    """Return the pins of a lock file with their hashes, by name."""
    entries = re.split(r"\n(?=\S)", (ROOT / path).read_text())
    pins = [entry for entry in entries if re.match(r"[a-z0-9]", entry)]
    return {re.split("==", pin)[0]: re.sub(r"\n\s+#.*", "", pin).strip() for pin in pins}


def test_it_has_the_terraform_that_the_daemon_would_fetch() -> None:
    assert argument("TERRAFORM_VERSION") == TERRAFORM_VERSION


def test_terraform_comes_from_the_official_release_server() -> None:
    assert argument("TERRAFORM_RELEASE_URL") == RELEASE_URL


@pytest.mark.parametrize("architecture", ["AMD64", "ARM64"])
def test_terraform_is_pinned_by_a_sum_of_each_architecture(architecture: str) -> None:
    name = f"terraform_{TERRAFORM_VERSION}_linux_{architecture.lower()}.zip"
    assert argument(f"TERRAFORM_SHA256_{architecture}") == Trust().sums[name]


def test_terraform_is_unpacked_only_after_its_sum_was_checked() -> None:
    fetching = next(text for kind, text in instructions() if kind == "RUN" and "sha256sum" in text)
    order = [fetching.index(part) for part in ("urlretrieve", "sha256sum --check", "zipfile")]
    assert order == sorted(order)


def test_it_runs_as_a_user_who_is_not_root_by_number() -> None:
    users = [text for kind, text in last_stage() if kind == "USER"]
    assert users == ["10001:10001"]


def test_nothing_is_installed_without_a_hash() -> None:
    installs = [text for kind, text in instructions() if kind == "RUN" and "pip install" in text]
    unpinned = [
        text for text in installs if "--require-hashes" not in text and "--no-deps" not in text
    ]
    assert unpinned == []


def test_the_packages_are_those_of_the_tests() -> None:
    tested = locked("requirements.lock")
    shipped = locked("deploy/docker/requirements.lock")
    assert {name: pin for name, pin in shipped.items() if tested.get(name) != pin} == {}


def test_every_package_that_the_daemon_needs_is_locked() -> None:
    needed = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    assert needed <= locked("deploy/docker/requirements.lock").keys()


def test_no_tool_of_the_tests_is_shipped() -> None:
    tools = {Requirement(text).name for text in PROJECT["dependency-groups"]["dev"]}
    tools -= {"jsonschema"}  # the SDK of MCP needs it, too
    assert not tools & locked("deploy/docker/requirements.lock").keys()


@pytest.mark.parametrize(
    "package", PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
)
def test_every_package_is_copied(package: str) -> None:
    assert ("COPY", f"{package} {package}") in instructions()


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    missing = [
        source
        for source in sources()
        if not (ROOT / source).exists() or not any(source.startswith(name) for name in kept)
    ]
    assert missing == []


def sources() -> Iterator[str]:
    for kind, text in instructions():
        if kind == "COPY" and "--from" not in text:
            yield from text.split()[:-1]


def test_health_is_asked_at_the_port_of_the_metrics() -> None:
    port = dict(last_stage())["EXPOSE"]
    assert f"http://127.0.0.1:{port}/healthz" in dict(last_stage())["HEALTHCHECK"]
    assert f"PROVISIONERD_METRICS_ADDRESS=0.0.0.0:{port}" in dict(last_stage())["ENV"]


def test_the_worker_is_told_to_drain() -> None:
    assert ("STOPSIGNAL", "SIGTERM") in last_stage()


def test_the_first_process_outlives_a_killed_worker() -> None:
    entry = ["python", "-I", "-m", init.__name__, "provisionerd"]
    assert ("ENTRYPOINT", json.dumps(entry)) in last_stage()


def test_the_settings_that_it_brings_exist() -> None:
    environment = dict(re.findall(r"(\w+)=(\S+)", dict(last_stage())["ENV"]))
    assert set(settings_of(environment)) <= Settings.model_fields.keys()


def test_no_secret_is_built_in() -> None:
    assert (
        re.findall(r"(?i)\b(?:ARG|ENV)\s+\w*(?:PASSWORD|TOKEN|SECRET|_URL=\w+://\w*:)", DOCKERFILE)
        == []
    )
