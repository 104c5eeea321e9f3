"""How often Terraform collects garbage.

At its start it does so for a quarter of its processor time, and it would need no more memory
without that. But its providers inherit the setting, and those of large clouds hold hundreds of
megabytes, which would become up to five times as many instead of twice. So would a large state.
"""

from __future__ import annotations

from collections.abc import Mapping

from db.schema.enums import TimingStage
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.cache.plugins import size_of_providers
from provisioner.engines.terraform.files import DATA_DIR

FEW_COLLECTIONS = {"GOGC": "400"}
"""The next collection comes when four times what is in use has been added; usual is once."""
SMALL_PROVIDERS_BYTES = 100_000_000
"""What all providers of a template take on disk, which says roughly how much they hold."""
SMALL_STATE_BYTES = 1024**2


def garbage_variables(context: BuildContext, stage: TimingStage) -> Mapping[str, str]:
    """Return the variables for a command; the operator's own take precedence over them.

    Raises:
        OSError: the providers cannot be read.
    """
    is_small = stage is TimingStage.INIT or (  # init starts no provider and reads no state
        len(context.state or b"") <= SMALL_STATE_BYTES
        and size_of_providers(context.directory / DATA_DIR) <= SMALL_PROVIDERS_BYTES
    )
    return FEW_COLLECTIONS if is_small else {}
