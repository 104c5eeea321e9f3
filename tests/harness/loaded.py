"""Which modules a command imports: what takes long is not to be among them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping

HEAVY = {"sqlalchemy", "celery", "redis", "pydantic", "pygohcl", "rich", "structlog", "alembic"}
CODE = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from cli.main import main
main()
"""


def imported(
    *arguments: str, among: Collection[str], environment: Mapping[str, str] | None = None
) -> set[str]:
    """Return those of the packages that a command imports until it ends."""
    ran = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = ran.stderr.splitlines()[-1].split()
    return {name for name in among if name in modules}
