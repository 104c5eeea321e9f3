"""The plain command line that benches compare with: a script in a directory of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run_script(script: str, directory: Path, *, home: Path, **variables: str) -> None:
    """Run a shell script in ``directory``; ``variables`` are added to a bare environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        **variables,
    }
    subprocess.run(["/bin/sh", "-c", script], cwd=directory, env=environment, check=True)
