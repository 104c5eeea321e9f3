"""A cluster with a database and a directory of its own, for as long as a block runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.cluster import Cluster, running_cluster
from tests.harness.databases import (
    copied_database,
    database_url_of,
    opened_database,
    tcp_url_of,
)
from worker.embedded import Embedded


@contextmanager
def new_cluster(embedded: Embedded, template: str, cli_config: Path) -> Iterator[Cluster]:
    """A cluster without workers on a copy of the database ``template``."""
    # Short: Unix sockets of providers stand below it.
    directory = Path(tempfile.mkdtemp(prefix="pd-"))
    try:
        with (
            copied_database(embedded, template) as name,
            opened_database(database_url_of(embedded, name), pool_size=10) as database,
            running_cluster(
                directory,
                database=database,
                database_url=tcp_url_of(embedded, name),
                cli_config=cli_config,
            ) as cluster,
        ):
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)
