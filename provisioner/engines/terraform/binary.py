"""Find the Terraform binary: by the setting, on the PATH, or on the release server."""

from __future__ import annotations

import shutil
from http.client import HTTPException
from pathlib import Path

from provisioner.engines.port import TERRAFORM_VERSION
from provisioner.engines.terraform.release.download import Progress
from provisioner.engines.terraform.release.errors import ReleaseError
from provisioner.engines.terraform.release.release import Release, Trust

RELEASE_URL = "https://releases.hashicorp.com/terraform"

_NAMES = ("terraform", "tofu")


class TerraformNotFoundError(Exception):
    """There is no Terraform binary; the message says where it was searched and what to do."""


def find_terraform(
    *,
    setting: str | None,
    path: str,
    data_dir: Path,
    release_url: str = RELEASE_URL,
    pinned_version: str = TERRAFORM_VERSION,
    pinned_sha256: str | None = None,
    progress: Progress | None = None,
    trust: Trust | None = None,
) -> Path:
    """Return a Terraform (or OpenTofu) binary; download Terraform if there is none.

    The search order is: ``setting`` (a file, or a name on the PATH), ``terraform`` and ``tofu`` on
    the PATH, the copy of an earlier download, the release server or a mirror of it. A download is
    used only if HashiCorp has signed the list of sums of its release, and the archive has the sum
    in that list, the one built in for the default version, and the pinned one if that is set. An
    earlier download is verified in the same way again, by each call. The binary is not run here.

    Args:
        setting: the operator's choice; if it is set, nothing else is tried.
        path: the PATH to search.
        data_dir: the copy is kept in ``terraform/<version>/`` below it.
        release_url: the folder of the server that has a folder for each version.
        pinned_version: the version to download.
        pinned_sha256: the sum, in hex, that the archive must have for this platform.
        progress: called while the download runs.
        trust: what a download is verified with; by default what HashiCorp has published.

    Raises:
        TerraformNotFoundError: there is no binary, and none can be downloaded.
    """
    if setting is not None:
        return _chosen(setting, path)
    if installed := _installed(path):
        return installed
    release = Release(
        url=f"{release_url.rstrip('/')}/{pinned_version}",
        version=pinned_version,
        sha256=pinned_sha256,
        folder=data_dir.absolute() / "terraform" / pinned_version,
        progress=progress,
        trust=trust or Trust(),
    )
    _install(release)
    return release.binary


def _installed(path: str) -> Path | None:
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            # Terraform is started in other folders, where a relative path would be wrong.
            return Path(found).absolute()
    return None


def _chosen(setting: str, path: str) -> Path:
    found = shutil.which(setting, path=path)
    if found is None:
        raise TerraformNotFoundError(
            f"the Terraform binary {setting!r} of the setting PROVISIONERD_TERRAFORM_BINARY is "
            "not an executable file; correct the setting, or unset it to search the PATH"
        )
    return Path(found).absolute()


def _install(release: Release) -> None:
    try:
        release.install()
    except (ReleaseError, OSError, HTTPException, ValueError) as error:
        raise TerraformNotFoundError(
            f"no Terraform: neither {' nor '.join(_NAMES)} is on the PATH, there is no verified "
            f"copy in {release.folder}, and fetching {release.url}/{release.archive_name} failed "
            f"({error}); install Terraform or set PROVISIONERD_TERRAFORM_BINARY to its file"
        ) from error
