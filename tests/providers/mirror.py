"""Lay out a Terraform filesystem mirror with the stand-ins and the ledger provider in it."""

from __future__ import annotations

import compileall
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.ledger import install as ledger

# Templates ask for versions from 0.17 to 2.x; a version for each kind of constraint.
CODER_VERSIONS = ("0.23.0", "1.0.4", "2.4.2", "2.17.0")

_CONFIG = """\
provider_installation {{
  filesystem_mirror {{
    path    = {path}
    include = {sources}
  }}
  direct {{
    exclude = {sources}
  }}
}}
"""
_PROGRAM = """\
#!/bin/sh
# The framework keeps its certificate under $HOME, which a template's environment may lack.
[ -w {home} ] && export HOME={home}
exec {python} -I -c 'import sys; sys.path.insert(0, sys.argv.pop(1))
from {module} import main; main()' {sources} "$@"
"""


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A provider of this package."""

    address: str
    module: str
    versions: Sequence[str]


STAND_INS = (
    StandIn(
        address="registry.terraform.io/coder/coder",
        module="tests.providers.coder.program",
        versions=CODER_VERSIONS,
    ),
    StandIn(
        address="registry.terraform.io/kreuzwerker/docker",
        module="tests.providers.clouds.docker",
        versions=("2.25.0", "3.6.2"),
    ),
    StandIn(
        address="registry.terraform.io/hashicorp/kubernetes",
        module="tests.providers.clouds.kubernetes",
        versions=("2.38.0",),
    ),
    StandIn(
        address="registry.terraform.io/hashicorp/aws",
        module="tests.providers.clouds.aws",
        versions=("5.100.0",),
    ),
)


def install(mirror_dir: Path, python: Path = Path(sys.executable)) -> Path:
    """Lay out the mirror; return the Terraform CLI configuration that names it.

    Raises:
        LedgerError: the interpreter lacks the framework ``tf``; the message says how to get it.
    """
    ledger.install(mirror_dir, python)
    mirror = mirror_dir.absolute()
    compiled = _copy_sources(mirror)
    for stand_in in STAND_INS:
        for version in stand_in.versions:
            _write_package(mirror, stand_in, version, python, compiled)
    config = mirror / "terraform.rc"
    addresses = [ledger.SOURCE, *(stand_in.address for stand_in in STAND_INS)]
    config.write_text(
        _CONFIG.format(path=json.dumps(str(mirror / "providers")), sources=json.dumps(addresses))
    )
    return config


def _copy_sources(mirror: Path) -> Path:
    """Copy and compile this package: where providers run, it may be read-only or not be there."""
    here = Path(__file__).parent
    copied = mirror / "sources"
    shutil.copytree(
        here,
        copied / "tests" / here.name,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (copied / "tests" / "__init__.py").touch()
    compileall.compile_dir(copied, quiet=1)
    return copied


def _write_package(
    mirror: Path, stand_in: StandIn, version: str, python: Path, compiled: Path
) -> None:
    """Write a package with everything in it: a sandbox may show packages alone."""
    target = mirror / "providers" / stand_in.address / version / ledger.platform_name()
    sources = target / "sources"
    shutil.copytree(compiled, sources, dirs_exist_ok=True)
    name = stand_in.address.rpartition("/")[2]
    program = target / f"terraform-provider-{name}_v{version}"
    # Not resolved: the link in a virtualenv is what makes it find its packages.
    words = {"home": mirror, "python": python.absolute(), "sources": sources}
    quoted = {key: shlex.quote(str(word)) for key, word in words.items()}
    program.write_text(_PROGRAM.format(module=stand_in.module, **quoted))
    program.chmod(0o755)
