"""Secrets of many kinds, planted in a build whose program prints all that it can read."""

from __future__ import annotations

import base64
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import text
from structlog.testing import capture_logs

from chattool import WorkspaceBuildError, wait_for_build
from db.jobs.mover import Mover
from db.jobs.variables import VariableValue
from db.schema.enums import ProvisionerType
from db.schema.tables import Base
from provisioner.build.attempt import BuildSettings
from provisioner.build.failures import FailedJob
from provisioner.build.runner import Runner
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.host.interrupt import Interrupt
from provisioner.platform.hook import BuildSecrets
from provisioner.platform.platform import Platform
from tests.harness.factory import Factory, tar_archive
from worker.metrics.series import Metrics
from worker.process.listeners import move_listeners
from worker.tracing.spans import SpanTracer

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
variable "pair" {
  type      = tuple([string, string])
  sensitive = true
}
variable "document" {
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
resource "terraform_data" "marked" {
  input = sensitive("s3cret-marked")
}
resource "terraform_data" "leak" {
  input = nonsensitive(sha256(jsonencode([var.token, var.parameter_old, var.fallback])))
  provisioner "local-exec" {
    environment = { MARKED = nonsensitive(terraform_data.marked.output) }
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
      tr '\\0' ' ' < /proc/$PPID/cmdline > COMMAND_LINE
      exit 7
    EOT
  }
}
"""
)
GRACE = timedelta(seconds=30)
HOLDING_VALUES = {
    "files",
    "template_version_parameters",  # defaults
    "template_version_variables",
    "workspace_build_parameters",
    "workspace_builds",  # the state
}
KEY = "-----BEGIN KEY-----\nMIIEs3cretLine1\nMIIEs3cretLine2\n-----END KEY-----\n"
PLANTED: Mapping[str, str] = {
    "a sensitive variable": 's3cret"token\\&',
    "a field of a sensitive object": "Tr0ub4dor-and-3",
    "an item of a list in a sensitive object": "s3cret-port",
    "a sensitive number": "48291735",
    "the default of a sensitive variable": "s3cret-default",
    "an item of a sensitive tuple": "s3cret-in-tuple",
    "a field of JSON in a sensitive text": "s3cret-in-json",
    "a line of a private key": "MIIEs3cretLine2",
    "a sensitive parameter": "glpat-0123456789abcdef",
    "the default of a sensitive parameter": "s3cret-parameter-default",
    "a passed variable of the worker": "s3cret-passed",
    "the password of a proxy": "s3cret-proxy",
    "what a proxy gets": "Ym9iOnMzY3JldC1wcm94eQ==",
    "the session token of the hook": "s3cret-session",
    "an SSH key of the hook": "MIIEs3cretSsh",
    "the OIDC token of the hook": "s3cret-oidc",
    "an external token of the hook": "s3cret-external",
    "what a plan marks as sensitive": "s3cret-marked",
    "a password in a URL": "s3cret-url",
    "a token in a URL": "s3cret-token",
}


@dataclass(frozen=True, kw_only=True)
class Left:
    """All that a failed build of the leaking template has left behind."""

    log: str  #: of the job
    rows: str  #: of all tables but those that hold the values
    places: Mapping[str, str]  #: what else there is to read, by its name


@pytest.fixture
def left(factory: Factory, tmp_path: Path, terraform: Path) -> Left:
    command_line = tmp_path / "command-line"
    template = _template(factory, owner := factory.user(), command_line)
    workspace = factory.workspace(owner=owner, template=template)
    job = factory.running_build(workspace, parameters={"pat": PLANTED["a sensitive parameter"]})
    registry, spans, provider = CollectorRegistry(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer, metrics = SpanTracer(provider), Metrics(registry)
    listeners = move_listeners(metrics=metrics, ring=lambda _queue: True, tracer=tracer)
    runner = Runner(
        mover=Mover(database=factory.database, listeners=listeners),
        engines={ProvisionerType.TERRAFORM: TerraformEngine(terraform, grace=GRACE)},
        settings=_settings(tmp_path),
        events=metrics,
        tracer=tracer,
    )
    with capture_logs() as events:
        ending = runner.run(job, Interrupt())
    provider.shutdown()
    assert isinstance(ending, FailedJob)
    assert "exit status 7" in ending.error
    with pytest.raises(WorkspaceBuildError) as refused:
        wait_for_build(factory.database, _only_build(factory))
    return Left(
        log="\n".join(_column(factory, "SELECT output FROM provisioner_job_logs ORDER BY id")),
        rows="\n".join(_rows(factory)),
        places={
            "worker's log": json.dumps(events, default=str),
            "traces": "\n".join(span.to_json() for span in spans.get_finished_spans()),
            "metrics": generate_latest(registry).decode(),
            "answer of a tool": refused.value.message,
            "command line of Terraform": command_line.read_text(),
        },
    )


def _settings(work_root: Path) -> BuildSettings:
    return BuildSettings(
        work_root=work_root,
        host_environment={
            "PATH": os.environ["PATH"],
            "AWS_SECRET_ACCESS_KEY": PLANTED["a passed variable of the worker"],
            "AWS_REGION": "eu-central-1",
            "no_proxy": "http://bob:s3cret-proxy@proxy.example.com",
        },
        passed_names=("AWS_*",),
        platform=Platform(access_url="https://coder.example.com", hook=_hook),
    )


def _column(factory: Factory, statement: str) -> Sequence[Any]:
    with factory.database.begin() as session:
        return session.execute(text(statement)).scalars().all()


def _only_build(factory: Factory) -> uuid.UUID:
    (build_id,) = _column(factory, "SELECT id FROM workspace_builds")
    assert isinstance(build_id, uuid.UUID)
    return build_id


def _rows(factory: Factory) -> Iterator[str]:
    for table in sorted(Base.metadata.tables.keys() - HOLDING_VALUES):
        yield from _column(factory, f"SELECT row_to_json(kept)::text FROM {table} AS kept")


def _hook(*_asked: object) -> BuildSecrets:
    return BuildSecrets(
        session_token=PLANTED["the session token of the hook"],
        oidc_access_token=PLANTED["the OIDC token of the hook"],
        ssh_private_key=KEY.replace("s3cretLine1", "s3cretSsh"),
        external_auth={"github": PLANTED["an external token of the hook"]},
    )


def _template(factory: Factory, owner: Any, command_line: Path) -> Any:
    database = {"user": "svc", "password": "Tr0ub4dor-and-3", "ports": ["s3cret-port"]}
    values = {
        "token": ("string", PLANTED["a sensitive variable"]),
        "database": ("object", json.dumps(database)),
        "pin": ("number", PLANTED["a sensitive number"]),
        "certificate": ("string", KEY),
        "pair": ("tuple", json.dumps(["first", PLANTED["an item of a sensitive tuple"]])),
        "document": ("string", json.dumps({"key": PLANTED["a field of JSON in a sensitive text"]})),
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
        archive=tar_archive(
            {"main.tf": LEAKING.replace("COMMAND_LINE", str(command_line)).encode()}
        ),
        provisioner=ProvisionerType.TERRAFORM,
        variables=[*variables, default],
    )


def test_no_secret_is_left_where_it_may_be_read(left: Left) -> None:
    assert len(PLANTED) == 20
    places = {"log of the job": left.log, "rows": left.rows, **left.places}
    found = [
        (place, kind)
        for place, written in places.items()
        for kind, secret in PLANTED.items()
        if secret in written or "s3cret" in written + _decoded(written)
    ]
    assert found == []
    assert [place for place in places if not places[place].strip()] == []
    # The rest of the texts is there.
    assert "*redacted*" in left.log
    assert "eu-central-1" in left.log
    assert "two pieces" in left.log
    assert re.search("fault in two|ret-default", "".join(places.values())) is None


def _decoded(written: str) -> str:
    """What the texts in base64 say, read from each of the four places where one may begin."""
    encoded = re.findall(r"[A-Za-z0-9+/]{12,}", written)
    return "\n".join(
        base64.b64decode(run[start : start + (len(run) - start) // 4 * 4]).decode(errors="replace")
        for run in encoded
        for start in range(4)
    )
