"""The plain command line that benches compare with: a script in a directory of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

MAIN = b"""
variable "workspace_transition" { default = "start" }
resource "terraform_data" "dev" {
  input = { daily_cost = 1, at = var.workspace_transition }
}
"""
"""A template with one resource; ``run_script`` runs Terraform on it, too."""


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
