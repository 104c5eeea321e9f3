"""The first build of a version on a host that has never seen it; the import was made by another.

The second pair has a module. The import has fetched it, and the build takes it from there, while
the plain command line downloads it, from a server that takes ``DELAY_S`` for each answer.
"""

from __future__ import annotations

import io
import itertools
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import select

from bench.benches.overhead import BARE
from bench.measure import Result, pair, timed
from bench.services import Services
from bench.shell import MAIN, run_script, start_build
from bench.spent import pair_with_processor
from db.catalog.templates import Push
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from db.schema.tables import Template, TemplateVersion, User
from tests.harness.factory import tar_archive
from worker.pushing import enqueue_import

DELAY_S = 0.1
MODULE = b'resource "terraform_data" "dev" {\n  input = { daily_cost = 1 }\n}\n'
WITH_MODULE = 'module "dev" {{\n  source = "{url}/module.zip"\n}}\n# {number}\n'


class ModuleServer:
    """Serves the module, slowly, and counts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0


def run(services: Services, rounds: int = 9) -> list[Result]:
    with _serving() as server:
        plain = _import(services, "plain", [_plain(number) for number in range(rounds)])
        with_module = _import(services, "module", [_with_module(server, n) for n in range(rounds)])
        fetched = server.requests
        bare = services.data_dir / "bare"
        with services.worker(data_dir=services.data_dir / "fresh", worker_name="fresh") as process:
            cold, processor = pair_with_processor(
                services,
                process.pid,
                lambda: timed(lambda: _build(services, plain.pop())),
                lambda: timed(lambda: _run_bare(bare, _plain(0))),
                rounds=rounds,
            )
            downloading = pair(
                lambda: timed(lambda: _build(services, with_module.pop())),
                lambda: timed(lambda: _run_bare(bare, _with_module(server, 0))),
                rounds=rounds,
            )
        # Each import has asked as often as each run of the command line.
        downloads = server.requests - 2 * fetched
    what = "first build of a version on a fresh host, against init, plan, show, apply"
    return [
        cold.result("cold", what, unit="s", reach="<= 1.1", aim="<= 0.9"),
        processor.result("cold", f"{what}: processor time", unit="s"),
        downloading.result(
            "cold", f"{what} with a download", unit="s", reach="<= 1.1", aim="<= 0.9"
        ),
        Result(
            bench="cold",
            what="modules that these builds downloaded",
            unit="",
            ours=downloads,
            reach="<= 0",
        ),
    ]


def _plain(number: int) -> bytes:
    # A comment makes each template version different.
    return MAIN + f"# {number}\n".encode()


def _with_module(server: ModuleServer, number: int) -> bytes:
    return WITH_MODULE.format(url=server.url, number=number).encode()


def _import(services: Services, name: str, mains: Sequence[bytes]) -> list[Template]:
    """Import versions by a worker of another host, which ends then."""
    factory = services.factory
    organization = factory.organization(everyone_allowance=1000)
    author = factory.user(organization=organization)
    templates = []
    with services.worker(concurrency=2):
        for number, main in enumerate(mains):
            push = Push(
                organization=organization,
                name=f"{name}{number}",
                archive=tar_archive({"main.tf": main}),
                created_by=author,
            )
            with services.database.begin() as session:
                pushed = enqueue_import(session, push, redis_url=services.redis_url)
            services.wait_for_build(pushed.job_id)
            with services.database.begin() as session:
                query = select(Template).join(
                    TemplateVersion, TemplateVersion.template_id == Template.id
                )
                query = query.where(TemplateVersion.id == pushed.version_id)
                templates.append(session.scalars(query).one())
    return templates


def _build(services: Services, template: Template) -> None:
    with services.database.begin() as session:
        owner = session.get_one(User, template.created_by)
        made = create_workspace(session, owner=owner, template=template, name=template.name)
    services.wait_for_build(start_build(services, made.id, Transition.START))


_NUMBERS = itertools.count()


def _run_bare(root: Path, main: bytes) -> None:
    directory = root / str(next(_NUMBERS))
    directory.mkdir(parents=True)
    (directory / "main.tf").write_bytes(main)
    run_script(BARE, directory, home=directory)
    shutil.rmtree(directory)


@contextmanager
def _serving() -> Iterator[ModuleServer]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.tf", MODULE)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            counted.requests += 1
            time.sleep(DELAY_S)
            self.send_response(200)
            self.send_header("Content-Length", str(len(packed.getvalue())))
            self.end_headers()
            self.wfile.write(packed.getvalue())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        counted = ModuleServer(f"http://127.0.0.1:{http.server_address[1]}")
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield counted
        http.shutdown()
