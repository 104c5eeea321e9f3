"""Secrets of many kinds, planted in a build whose program prints all that it can read."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.jobs.mover import Mover
from db.jobs.variables import VariableValue
from db.schema.enums import ProvisionerType
from provisioner.build.attempt import BuildSettings
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.host.interrupt import Interrupt
from provisioner.platform.hook import BuildSecrets
from provisioner.platform.platform import Platform
from tests.harness.factory import Factory, tar_archive

DECLARED = """
variable "token" {
  type      = string
  sensitive = true
}
variable "database" {
  type      = object({ user = string, password = string, ports = list(string) })
  sensitive = true
}
variable "pin" {
  type      = number
  sensitive = true
}
variable "fallback" {
  type      = string
  default   = "s3cret-default"
  sensitive = true
}
variable "certificate" {
  type      = string
  sensitive = true
}
variable "parameter_pat" {
  type      = string
  sensitive = true
}
variable "parameter_old" {
  type      = string
  default   = "s3cret-parameter-default"
  sensitive = true
}
"""
LEAKING = (
    DECLARED
    + """
resource "terraform_data" "leak" {
  input = nonsensitive(sha256(jsonencode([var.token, var.parameter_old, var.fallback])))
  provisioner "local-exec" {
    command = <<-EOT
      cat *.tfvars.json
      base64 -w0 *.tfvars.json
      echo
      env
      env | base64 -w0
      echo
      echo fetch https://bob:s3cret-url@git.example.com/x failed
      echo fetch https://s3cret-token@git.example.com/x failed
      # The log has the text of this program, too, which must not have the secret.
      start=s3; end=fault
      printf '%s' "$start"cret-de
      sleep 0.3
      echo "$end" in two pieces
      printf '%s\\033[1m%s\\033[0m\\n' "$start"cret- de"$end"
      # Terraform cuts this within a secret: 8192 bytes are left, five of them after the last dot.
      yes "$start"cret-de"$end". | head -n 600 | tr -d '\\n'
      echo done
      exit 7
    EOT
  }
}
"""
)
GRACE = timedelta(seconds=30)
KEY = "-----BEGIN KEY-----\nMIIEs3cretLine1\nMIIEs3cretLine2\n-----END KEY-----\n"
PLANTED: Mapping[str, str] = {
    "a sensitive variable": 's3cret"token\\&',
    "a field of a sensitive object": "Tr0ub4dor-and-3",
    "an item of a list in a sensitive object": "s3cret-port",
    "a sensitive number": "48291735",
    "the default of a sensitive variable": "s3cret-default",
    "a line of a private key": "MIIEs3cretLine2",
    "a sensitive parameter": "glpat-0123456789abcdef",
    "the default of a sensitive parameter": "s3cret-parameter-default",
    "a passed variable of the worker": "s3cret-passed",
    "the password of a proxy": "s3cret-proxy",
    "what a proxy gets": "Ym9iOnMzY3JldC1wcm94eQ==",
    "the session token of the hook": "s3cret-session",
    "an SSH key of the hook": "MIIEs3cretSsh",
    "an external token of the hook": "s3cret-external",
    "a password in a URL": "s3cret-url",
    "a token in a URL": "s3cret-token",
}


@pytest.fixture
def written(factory: Factory, tmp_path: Path, terraform: Path) -> str:
    """All that a failed build of the leaking template has left in the database."""
    workspace = factory.workspace(
        owner=(owner := factory.user()), template=_template(factory, owner)
    )
    job = factory.running_build(workspace, parameters={"pat": PLANTED["a sensitive parameter"]})
    runner = Runner(
        mover=Mover(database=factory.database),
        engines={
            ProvisionerType.TERRAFORM: TerraformEngine(terraform, grace=timedelta(seconds=30))
        },
        settings=BuildSettings(
            work_root=tmp_path,
            host_environment={
                "PATH": os.environ["PATH"],
                "AWS_SECRET_ACCESS_KEY": PLANTED["a passed variable of the worker"],
                "AWS_REGION": "eu-central-1",
                "no_proxy": "http://bob:s3cret-proxy@proxy.example.com",
            },
            passed_names=("AWS_*",),
            platform=Platform(access_url="https://coder.example.com", hook=_hook),
        ),
    )
    ending = runner.run(job, Interrupt())
    assert isinstance(ending, FailedJob)
    assert "exit status 7" in ending.error
    with factory.database.begin() as session:
        lines = session.execute(text("SELECT output FROM provisioner_job_logs")).scalars().all()
        rows = session.execute(text("SELECT row_to_json(job)::text FROM provisioner_jobs AS job"))
        return "\n".join([*lines, *rows.scalars()])


def _hook(*_asked: object) -> BuildSecrets:
    return BuildSecrets(
        session_token=PLANTED["the session token of the hook"],
        ssh_private_key=KEY.replace("s3cretLine1", "s3cretSsh"),
        external_auth={"github": PLANTED["an external token of the hook"]},
    )


def _template(factory: Factory, owner: Any) -> Any:
    database = {"user": "svc", "password": "Tr0ub4dor-and-3", "ports": ["s3cret-port"]}
    values = {
        "token": ("string", PLANTED["a sensitive variable"]),
        "database": ("object", json.dumps(database)),
        "pin": ("number", PLANTED["a sensitive number"]),
        "certificate": ("string", KEY),
    }
    variables = [
        VariableValue(name=name, type=kind, value=value, sensitive=True)
        for name, (kind, value) in values.items()
    ]
    default = VariableValue(
        name="fallback", value=None, default_value="s3cret-default", required=False, sensitive=True
    )
    return factory.template(
        organization=factory.organization(everyone_allowance=10),
        created_by=owner,
        archive=tar_archive({"main.tf": LEAKING.encode()}),
        provisioner=ProvisionerType.TERRAFORM,
        variables=[*variables, default],
    )


def test_no_secret_is_in_a_log_or_a_row(written: str) -> None:
    assert [kind for kind, secret in PLANTED.items() if secret in written] == []
    assert "s3cret" not in written + _decoded(written)
    assert "two pieces" in written
    found = re.search("fault in two|ret-default", written)
    assert found is None, written[found.start() - 300 : found.end() + 100]
    assert "*redacted*" in written
    assert "eu-central-1" in written


def _decoded(written: str) -> str:
    """What the texts in base64 say, read from each of the four places where one may begin."""
    encoded = re.findall(r"[A-Za-z0-9+/]{12,}", written)
    return "\n".join(
        base64.b64decode(run[start : start + (len(run) - start) // 4 * 4]).decode(errors="replace")
        for run in encoded
        for start in range(4)
    )
