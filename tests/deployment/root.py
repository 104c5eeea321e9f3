"""A Debian root with Python, Terraform and the ledger cloud: the machine, and the image's base."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.harness.cluster import DEPLOY, REPOSITORY

BUILD = REPOSITORY / "build/deploy-test"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LEDGER = "/srv/ledger"
CLI_CONFIG = f"{LEDGER}/mirror/terraform.rc"
CLOUD = "/var/lib/provisionerd/cloud"
"""Where the workers have the ledger's folder: the one place that all of them can write to."""

_RELEASE = "bookworm"
_PACKAGES = "ca-certificates,dbus,git,python3,python3-venv,systemd-sysv"
_LEDGER = """
ln -sf python3 /usr/bin/python
python3 -m venv /srv/ledger/venv
/srv/ledger/venv/bin/pip install --quiet tf
/srv/ledger/venv/bin/python /srv/ledger/install.py /srv/ledger/mirror
rm -f /var/cache/apt/archives/*.deb
"""


def make_root() -> Path:
    """Return the root's folder, which is made once, by some minutes of downloads."""
    root = BUILD / "root"
    if not (root / "srv/ledger/mirror").exists():
        draft = BUILD / "root.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _RELEASE, draft)
        _configure_pip(draft)
        _install_cloud(draft)
        shutil.rmtree(root, ignore_errors=True)
        draft.rename(root)
    return root


def _configure_pip(root: Path) -> None:
    """Let pip in there trust the certificates that pip out here trusts."""
    lines = ["[global]"]
    if CERTIFICATES.exists():
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        lines.append(f"cert = {CERTIFICATES}")
    (root / "etc/pip.conf").write_text("\n".join(lines) + "\n")


def _install_cloud(root: Path) -> None:
    terraform = shutil.which("terraform")
    assert terraform is not None
    shutil.copy(terraform, root / "usr/local/bin/terraform")
    folder = root / "srv/ledger"
    folder.mkdir()
    for name in ("install.py", "provider.py"):
        shutil.copyfile(DEPLOY / "ledger" / name, folder / name)
    run_in(root, _LEDGER)


def run_in(root: Path, script: str, *options: str) -> None:
    """Run a shell script with ``root`` as its file system."""
    passed = [f"--setenv={name}" for name in os.environ if name.startswith("PIP_")]
    run(*NSPAWN, *passed, *options, f"--directory={root}", "--pipe", "sh", "-ec", script)


NSPAWN = (
    "systemd-nspawn",
    "--quiet",
    # There may be no systemd on this machine to tell of it.
    "--register=no",
    "--keep-unit",
    "--resolv-conf=copy-host",
)


def run(*command: str | Path, within_s: float = 600) -> str:
    """Run a program and return its output; a failure shows all that it said."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=within_s, cwd=REPOSITORY
    )
    assert done.returncode == 0, f"{list(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def missing(programs: Sequence[str]) -> list[str]:
    """Return those of the programs that this machine lacks."""
    return [program for program in programs if shutil.which(program) is None]
