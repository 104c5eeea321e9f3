"""All faults."""

from __future__ import annotations

from tests.harness.chaos.faults.apis import OF_APIS
from tests.harness.chaos.faults.builds import OF_BUILDS
from tests.harness.chaos.faults.hosts import OF_HOSTS
from tests.harness.chaos.faults.servers import OF_SERVERS
from tests.harness.chaos.faults.workers import OF_WORKERS
from tests.harness.chaos.strike import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*OF_BUILDS, *OF_WORKERS, *OF_HOSTS, *OF_SERVERS, *OF_APIS)
}
