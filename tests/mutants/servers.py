"""Start servers with a migrated database, say where they are, and stop them at the end of input.

A process of its own, since the one that tries the mutants must not import what they change.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tests.harness.databases import make_template, started_servers

if __name__ == "__main__":
    with started_servers() as servers:
        lent = {"embedded": asdict(servers), "template_database": make_template(servers)}
        print(json.dumps(lent), flush=True)
        sys.stdin.read()
