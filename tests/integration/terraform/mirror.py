"""A mirror of packed providers: each is unpacked by init, as from a registry."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.ledger.install import SOURCE, VERSION
from tests.harness.ledger import install_ledger

_CONFIG = """\
provider_installation {{
  filesystem_mirror {{
    path = "{path}"
  }}
}}
"""
_TEMPLATE = """\
terraform {{
  required_providers {{
    ledger = {{
      source = "{source}"
    }}
  }}
}}
resource "ledger_machine" "dev" {{
  name   = "dev"
  ledger = "{ledger}"
}}
"""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """The ledger provider in a packed mirror."""

    config: Path  #: the CLI configuration that names the mirror
    address: str  #: ``host/namespace/type/version/platform``
    binary: str  #: its name in the package

    def template(self, ledger: Path) -> str:
        """A template with one machine, whose provider is in the mirror."""
        return _TEMPLATE.format(source=SOURCE, ledger=ledger)

    def package_in(self, directory: Path) -> Path:
        """The provider's binary below a ``.terraform`` directory."""
        return directory / "providers" / self.address / self.binary


def make_mirror(root: Path, *, provider_bytes: int) -> Mirror:
    """Pack the ledger provider, made ``provider_bytes`` large.

    Its program is a shell script that ends with ``exec``: what follows is never read.
    """
    install_ledger(root / "unpacked")
    (package,) = (root / "unpacked" / "providers" / SOURCE / VERSION).iterdir()
    (binary,) = package.glob("terraform-provider-ledger*")
    folder = root / "packed" / SOURCE
    folder.mkdir(parents=True)
    name = f"terraform-provider-ledger_{VERSION}_{package.name}.zip"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.write(package / "provider.py", "provider.py")
        entry = zipfile.ZipInfo(binary.name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o755 << 16
        script = binary.read_bytes()
        packed.writestr(entry, script + b"\n" * (provider_bytes - len(script)))
    config = root / "terraform.rc"
    config.write_text(_CONFIG.format(path=root / "packed"))
    return Mirror(config=config, address=f"{SOURCE}/{VERSION}/{package.name}", binary=binary.name)
