"""What a command of Terraform may see and change in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from db.schema.enums import TimingStage
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.cache.initkey import cli_config
from provisioner.engines.terraform.files import DATA_DIR
from provisioner.host.sandbox.port import Scope

_FILES_OF_ENVIRONMENT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "TF_CLI_CONFIG_FILE")
_PLUGIN_CACHE = "TF_PLUGIN_CACHE_DIR"
_QUOTED_PATH = re.compile(r'"(/[^"\n]+)"')


def scope_of(binary: Path, context: BuildContext, stage: TimingStage) -> Scope:
    """Return the scope of a command: only ``init`` may write providers.

    The paths in the operator's CLI configuration, such as those of mirrors, can be read.
    """
    caches = tuple(_existing([context.environment.get(_PLUGIN_CACHE, "")]))
    is_init = stage is TimingStage.INIT
    own = tuple(path for path in (context.directory, context.home) if path is not None)
    return Scope(
        cwd=context.directory,
        writable=(*own, *(caches if is_init else ())),
        readable=(
            binary,
            *_existing(context.environment.get(name, "") for name in _FILES_OF_ENVIRONMENT),
            *_existing(_QUOTED_PATH.findall(cli_config(context.environment))),
            *(() if is_init else caches),
            *(() if context.lent is None else (context.lent,)),
        ),
        protected=() if is_init else tuple(_providers(context.directory)),
        tmp=context.tmp,
    )


def _existing(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        if name and Path(name).is_absolute() and Path(name).exists():
            yield Path(name)


def _providers(directory: Path) -> Iterator[Path]:
    """Yield the folder of the installed providers, if the template did not plant a link there."""
    data, providers = directory / DATA_DIR, directory / DATA_DIR / "providers"
    if providers.is_dir() and not data.is_symlink() and not providers.is_symlink():
        yield providers
