"""Lay out a Terraform filesystem mirror with the ledger provider in it.

``python deploy/ledger/install.py DIR`` prints the path of the Terraform CLI
configuration file; hand it to Terraform as ``TF_CLI_CONFIG_FILE``.
"""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = "provisionerd.test/demo/ledger"
VERSION = "1.0.0"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_CLI_CONFIG = """\
provider_installation {{
  filesystem_mirror {{
    path    = {mirror}
    include = ["{source}"]
  }}
  direct {{
    exclude = ["{source}"]
  }}
}}
"""

_WRAPPER = """\
#!/bin/sh
# The framework keeps its certificate under $HOME, which a template's environment may lack.
[ -w {home} ] && export HOME={home}
exec {python} -I {provider} "$@"
"""


class LedgerError(Exception):
    """The ledger provider cannot be installed; the message says what to do."""


def install(mirror_dir: Path, python: Path, *, clouds: Sequence[Path] = ()) -> Path:
    """Lay out the mirror; may be repeated.

    Args:
        mirror_dir: where the mirror goes, made if missing.
        python: the interpreter that has the package ``tf``.
        clouds: the folders in which templates keep their clouds. A worker that uses the CLI
            configuration shows them to their sandboxes, with what the provider needs. None if the
            worker's settings say what sandboxes see.

    Returns:
        The Terraform CLI configuration file to name in ``TF_CLI_CONFIG_FILE``.

    Raises:
        LedgerError: the interpreter lacks ``tf``.
    """
    _require_framework(python)
    mirror = mirror_dir.absolute()
    target = mirror / "providers" / SOURCE / VERSION / platform_name()
    target.mkdir(parents=True, exist_ok=True)
    provider = target / "provider.py"
    shutil.copyfile(Path(__file__).with_name("provider.py"), provider)
    _write_wrapper(target / f"terraform-provider-ledger_v{VERSION}", mirror, python, provider)
    config = mirror / "terraform.rc"
    folder = json.dumps(str(mirror / "providers"))
    config.write_text(_CLI_CONFIG.format(mirror=folder, source=SOURCE))
    needs = config.with_name(f"{config.name}.sandbox.json")
    needs.unlink(missing_ok=True)
    if clouds:
        needs.write_text(json.dumps(_needs(clouds), indent=2) + "\n")
    return config


def _needs(clouds: Sequence[Path]) -> dict[str, list[str] | bool]:
    """Return what the provider needs of its host (docs/security.md)."""
    return {
        "readable": [sys.prefix, sys.base_prefix],
        "writable": [str(cloud.absolute()) for cloud in clouds],
        "keeps_user": True,  # a cloud may be in a folder that only the worker's user can enter
    }


def main() -> None:
    """Install for the interpreter that runs this."""
    if len(sys.argv) != 2:
        sys.exit("usage: install.py DIR")
    try:
        clouds = sorted({Path(tempfile.gettempdir()), Path("/tmp")})  # noqa: S108
        print(install(Path(sys.argv[1]), Path(sys.executable), clouds=clouds))  # noqa: T201
    except LedgerError as error:
        sys.exit(str(error))


def _require_framework(python: Path) -> None:
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('tf') is None)"
    if subprocess.run([python, "-c", probe], check=False).returncode != 0:
        raise LedgerError(
            f"The ledger provider needs the package tf, which {python} lacks: "
            "install it with `pip install 'provisionerd[ledger]'`."
        )


def platform_name() -> str:
    """Return the name of this platform in a mirror, such as ``linux_amd64``."""
    machine = platform.machine()
    return f"{platform.system().lower()}_{_ARCHITECTURES.get(machine, machine)}"


def _write_wrapper(wrapper: Path, mirror: Path, python: Path, provider: Path) -> None:
    # Not resolved: the link in a virtualenv is what makes it find its packages.
    words = {"home": mirror, "python": python.absolute(), "provider": provider}
    script = _WRAPPER.format(**{name: shlex.quote(str(word)) for name, word in words.items()})
    draft = wrapper.with_name("wrapper.draft")
    draft.write_text(script)
    draft.chmod(0o755)
    draft.replace(wrapper)


if __name__ == "__main__":
    main()
