"""The image, built of the shipped Dockerfile by buildah, and podman, which runs it."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.engines.port import TERRAFORM_VERSION
from tests.deployment.root import BUILD, run
from tests.harness.cluster import DEPLOY

IMAGE = "localhost/provisionerd:deploy-test"
_BASE = "localhost/provisionerd-base"
# Its path must be short; what is in there does not outlive the machine.
_STORAGE = (f"--root={BUILD}/storage", "--runroot=/run/provisionerd-deploy-test")


def podman(*words: str | Path, within_s: float = 120) -> str:
    """Run podman on the tests' own storage; runc is content with any kind of cgroups."""
    options = ("--cgroup-manager=cgroupfs", "--runtime=runc", "--events-backend=file")
    return run("podman", *_STORAGE, *options, *words, within_s=within_s)


def build_image(root: Path) -> str:
    """Return the name of the image, built on ``root`` in the place of the official Python."""
    _make_base(root)
    with _release_server() as (url, digest):
        architecture = run("dpkg", "--print-architecture").strip().upper()
        arguments = {
            "PYTHON_IMAGE": _BASE,
            "TERRAFORM_RELEASE_URL": url,
            f"TERRAFORM_SHA256_{architecture}": digest,
        }
        _buildah(
            "build",
            "--format=docker",
            "--isolation=chroot",
            "--network=host",
            "--layers",
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            f"--ignorefile={DEPLOY}/docker/Dockerfile.dockerignore",
            f"--file={DEPLOY}/docker/Dockerfile",
            f"--tag={IMAGE}",
            ".",
        )
    return IMAGE


def _buildah(*words: str | Path) -> str:
    return run("buildah", *_STORAGE, *words).strip()


def _make_base(root: Path) -> None:
    if _BASE in _buildah("images", "--format={{.Name}}").splitlines():
        return
    container = _buildah("from", "scratch")
    run("cp", "--archive", f"{root}/.", _buildah("mount", container))
    _buildah("umount", container)
    _buildah("config", "--env=PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container)
    _buildah("commit", "--rm", container, _BASE)


@contextmanager
def _release_server() -> Iterator[tuple[str, str]]:
    """The address and the sum of this machine's Terraform, served as a release is."""
    terraform = shutil.which("terraform")
    assert terraform is not None
    folder = BUILD / "release" / TERRAFORM_VERSION
    folder.mkdir(parents=True, exist_ok=True)
    architecture = run("dpkg", "--print-architecture").strip()
    archive = folder / f"terraform_{TERRAFORM_VERSION}_linux_{architecture}.zip"
    with zipfile.ZipFile(archive, "w") as written:
        # A fixed date: the sum is an argument, and another one makes all layers anew.
        entry = zipfile.ZipInfo("terraform", (1980, 1, 1, 0, 0, 0))
        written.writestr(entry, Path(terraform).read_bytes())
    handler = functools.partial(_Quiet, directory=str(folder.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", _PORT), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        yield f"http://127.0.0.1:{server.server_port}", digest
        server.shutdown()


# Always the same, since the address is an argument of the build, too.
_PORT = 27461


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
