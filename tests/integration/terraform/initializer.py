"""A worker process that initializes templates, each in a thread of its own.

``initializer.py CACHE BINARY DIRECTORY...`` with the environment of the builds.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from db.schema.enums import Transition
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform.cache.treestore import TreeStore
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.initcache import InitCache
from provisioner.host.interrupt import Interrupt


def main() -> None:
    cache, binary, *directories = (Path(argument) for argument in sys.argv[1:])
    engine = TerraformEngine(
        binary,
        grace=timedelta(seconds=30),
        cache=InitCache(TreeStore(cache, max_bytes=10 * 1024**3)),
    )

    def initialize(directory: Path) -> None:
        engine.init(
            BuildContext(
                files={},
                directory=directory,
                transition=Transition.START,
                environment=dict(os.environ),
                variables={},
                sensitive=frozenset(),
                log=lambda _level, _text: None,
                interrupt=Interrupt(),
                timeout=timedelta(seconds=300),
            )
        )

    with ThreadPoolExecutor(len(directories)) as pool:
        list(pool.map(initialize, directories))


if __name__ == "__main__":
    main()
