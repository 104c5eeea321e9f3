"""Push templates that are too much, or wrong, and print how each import ended.

    make bad-input
    python -m bench.badinput cycle plan-json

A row says how the import ended, how long that took, and by how many megabytes the worker process
grew at its peak. Exits with 1 if an import did not end as it should, if it stored a part of a
version, or if the worker grew by more than ``GROWTH_MB``.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from bench.services import Services, open_services
from db.catalog.templates import Push
from db.reads.jobs import Job, get_job
from tests.harness.factory import tar_archive
from tests.harness.providers import install_providers
from tests.harness.silence import SilentServer
from tests.harness.waiting import wait_until
from worker.pushing import enqueue_import

ENDS_WITHIN_S = 300
GROWTH_MB = 250
SUCCEEDED = "succeeded"
CODER = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
"""
STORED = text("""
    SELECT (SELECT count(*) FROM workspace_resources WHERE job_id = :job_id)
         + (SELECT count(*) FROM template_version_parameters
            WHERE template_version_id = version.id)
         + (SELECT count(*) FROM template_version_presets WHERE template_version_id = version.id)
    FROM template_versions AS version
    WHERE job_id = :job_id
""")

Files = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A bad template, and the end that its import should have."""

    name: str
    what: str
    files: Callable[[], Files]
    end: str = SUCCEEDED  #: or a pattern of the error
    settings: Mapping[str, object]


def _case(name: str, what: str, files: Callable[[], Files], end: str, **settings: object) -> Case:
    return Case(name=name, what=what, files=files, end=end, settings=settings)


def _main(hcl: str, **others: str) -> Callable[[], Files]:
    files = {"main.tf": hcl, **{f"{name}/main.tf": body for name, body in others.items()}}
    return lambda: {name: body.encode() for name, body in files.items()}


def _parameters(count: int) -> str:
    one = 'data "coder_parameter" "p{0}" {{\n  name = "p{0}"\n  default = "{0}"\n}}\n'
    return CODER + "".join(one.format(number) for number in range(count))


def _parameter(label: str, body: str) -> str:
    return f'data "coder_parameter" "{label}" {{\n{body}\n}}\n'


def _large() -> Files:
    files = {f"data/{n}.bin": bytes([n % 251]) * 1_000_000 for n in range(20)}
    return {"main.tf": b'resource "terraform_data" "a" {}\n', **files}


def _plan_json(megabytes: int) -> str:
    return f"""
resource "terraform_data" "large" {{
  count = {megabytes}
  input = join("", [for part in range(1000) : "{"x" * 1000}"])
}}
"""


NESTED = """
locals {
  large = [for a in range(1024) : [for b in range(1024) : [for c in range(1024) : "${a}${b}${c}"]]]
}
resource "terraform_data" "a" { input = length(local.large) }
"""
LINES = """#!/bin/sh
case "$1" in
  plan) yes '{"@level":"info","@message":"a line of a provider","type":"log"}' | head -n 10000000 ;;
esac
exec terraform "$@"
"""


def cases(silent_url: str, chatty: Path) -> Iterator[Case]:
    """Yield the cases in their order."""
    yield _case(
        "for-ever",
        "`init` waits for a server that never answers (limit 10 s)",
        _main(f'module "m" {{ source = "{silent_url}/m.zip" }}'),
        "took longer than 0:00:10",
        init_timeout_seconds=10,
    )
    yield _case(
        "nested-for",
        "an expression with a thousand million texts (limit 1 GB)",
        _main(NESTED),
        "more memory than a build may use|took longer than",
        job_memory_megabytes=1024,
        plan_timeout_seconds=60,
    )
    yield _case(
        "lines",
        "ten million lines",
        _main('resource "terraform_data" "a" {}'),
        SUCCEEDED,
        terraform_binary=chatty,
    )
    yield _case(
        "no-provider",
        "a provider that does not exist",
        _main('terraform {\n  required_providers {\n    x = { source = "nobody/nothing" }\n  }\n}'),
        "nobody/nothing",
    )
    yield _case(
        "resources",
        "5,000 resources",
        _main('resource "terraform_data" "a" {\n  count = 5000\n}'),
        SUCCEEDED,
    )
    yield _case("parameters", "500 parameters", _main(_parameters(500)), SUCCEEDED)
    yield _case("files", "20 MB of files", _large, SUCCEEDED)
    yield _case(
        "cycle",
        "modules that call each other",
        _main(
            'module "a" { source = "./a" }',
            a='module "b" { source = "../b" }',
            b='module "a" { source = "../a" }',
        ),
        "local modules call each other: (a -> b -> a|b -> a -> b)",
    )
    yield _case(
        "default",
        "a default that breaks its own validation",
        _main(
            CODER
            + _parameter(
                "size",
                'name = "size"\ntype = "number"\ndefault = 9\nvalidation {\nmin = 1\nmax = 5\n}',
            )
        ),
        "size",
    )
    yield _case(
        "same-name",
        "two parameters of one name",
        _main(
            CODER
            + _parameter("a", 'name = "region"\ndefault = "eu"')
            + _parameter("b", 'name = "region"\ndefault = "us"')
        ),
        'coder_parameter names must be unique but "region" appears multiple times',
    )
    yield _case(
        "preset",
        "a preset with a value that its parameter does not allow",
        _main(
            CODER
            + _parameter("a", 'name = "zone"\ndefault = "x"\noption {\nname = "X"\nvalue = "x"\n}')
            + 'data "coder_workspace_preset" "p" {\nname = "P"\nparameters = { zone = "y" }\n}'
        ),
        SUCCEEDED,
    )
    yield _case("plan-json", "a plan with 50 MB of JSON", _main(_plan_json(25)), SUCCEEDED)


def main() -> int:
    """Run the cases that are named, or all; return the exit status."""
    wanted = set(sys.argv[1:])
    print("| template | how its import ended | seconds | worker's growth in MB |")
    print("| --- | --- | --- | --- |", flush=True)
    silent = SilentServer()
    with (
        tempfile.TemporaryDirectory(prefix="pd-mirror-") as folder,
        open_services() as services,
    ):
        cli_config = install_providers(Path(folder) / "mirror")
        chatty = Path(folder) / "terraform-chatty"
        chatty.write_text(LINES)
        chatty.chmod(0o755)
        silent_url = silent.redis_url.replace("redis://", "http://").removesuffix("/0")
        are_good = [
            _run(services, case, cli_config)
            for case in cases(silent_url, chatty)
            if not wanted or case.name in wanted
        ]
    silent.close()
    return 0 if all(are_good) else 1


def _run(services: Services, case: Case, cli_config: Path) -> bool:
    with _worker(services, case, cli_config) as pid:
        before = _resident_mb(pid, "VmRSS")
        begun = time.monotonic()
        job = _import(services, case)
        seconds = time.monotonic() - begun
        growth = _resident_mb(pid, "VmHWM") - before
    end = job.error or job.status.value
    with services.database.begin() as session:
        stored = session.execute(STORED, {"job_id": job.id}).scalar_one()
    is_half = stored > 0 and job.error is not None
    is_good = bool(re.search(case.end, end)) and not is_half and growth <= GROWTH_MB
    shown = end if len(end) <= 300 else f"{end[:300]}…"
    mark = "" if is_good else " **NOT AS IT SHOULD BE**" + (" (half stored)" if is_half else "")
    print(f"| {case.what} | {shown.replace('|', '/')}{mark} | {seconds:.1f} | {growth:.0f} |")
    sys.stdout.flush()
    return is_good


@contextmanager
def _worker(services: Services, case: Case, cli_config: Path) -> Iterator[int]:
    settings = {
        "concurrency": 2,
        "engines": "terraform",
        "terraform_cli_config_file": cli_config,
        # The interpreter of the stand-in of Coder's provider.
        "sandbox_paths": f"{sys.prefix},{sys.base_prefix},{cli_config.parent}",
        "log_level": "error",
        **case.settings,
    }
    with services.worker(**settings) as process:
        yield process.pid


def _import(services: Services, case: Case) -> Job:
    factory = services.factory
    organization = factory.organization()
    push = Push(
        organization=organization,
        name=case.name,
        archive=tar_archive(case.files()),
        created_by=factory.user(organization=organization),
    )
    with services.database.begin() as session:
        pushed = enqueue_import(session, push, redis_url=services.redis_url)

    def job() -> Job:
        with services.database.begin() as session:
            return get_job(session, pushed.job_id)

    wait_until(
        lambda: not job().status.is_active,
        f"the end of {case.name}",
        within_s=ENDS_WITHIN_S,
        tick_s=0.05,
    )
    return job()


def _resident_mb(pid: int, field: str) -> float:
    """Return how much memory a process has now (``VmRSS``), or had at its peak (``VmHWM``)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    raise AssertionError(field)


if __name__ == "__main__":
    sys.exit(main())
