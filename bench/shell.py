"""The plain command line that benches compare with: a script in a directory of its own."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

from bench.services import Services
from db.schema.enums import Transition
from worker.enqueue import enqueue_build

MAIN = b"""
variable "workspace_transition" { default = "start" }
resource "terraform_data" "dev" {
  input = { daily_cost = 1, at = var.workspace_transition }
}
"""
"""A template with one resource; ``run_script`` runs Terraform on it, too."""


def start_build(services: Services, workspace_id: uuid.UUID, transition: Transition) -> uuid.UUID:
    """Enqueue a build, as an application does, and return its job."""
    with services.database.begin() as session:
        return enqueue_build(session, workspace_id=workspace_id, transition=transition).job_id


def run_script(script: str, directory: Path, *, home: Path, **variables: str) -> None:
    """Run a shell script in ``directory``; ``variables`` are added to a bare environment."""
    environment = environment_of(home, **variables)
    subprocess.run(["/bin/sh", "-c", script], cwd=directory, env=environment, check=True)


def environment_of(home: Path, **variables: str) -> dict[str, str]:
    """Return the bare environment of a script, with ``variables``."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        **variables,
    }
