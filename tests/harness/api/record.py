"""Records the requests and answers of the commands of ``coder``, for docs/api.

    python -m tests.harness.api.record

It runs ``provisionerd up`` in a folder of its own. Tokens are masked, and long lists are cut.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.harness.api.client import Client
from tests.harness.api.coder import Coder
from tests.harness.factory import tar_archive
from tests.harness.waiting import wait_until
from worker.process.children import free_address

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs/api"
COMMAND = (sys.executable, "-m", "cli.main")
TOKEN = re.compile(r"\b[A-Za-z0-9]{10}-[A-Za-z0-9]{22}\b")
SHOWN_LINES = 40
BOX = b'resource "terraform_data" "box" {\n  input = { daily_cost = 5 }\n}\n'


class Recorder:
    """Keeps what a client sends and gets."""

    def __init__(self) -> None:
        self.exchanges: list[str] = []

    def watch(self, client: Client) -> None:
        client.http.event_hooks["response"].append(self._keep)

    def _keep(self, response: httpx.Response) -> None:
        request = response.request
        if response.status_code == 101:
            self.exchanges.append(
                f"{_line(request)}\n\n101 Switching Protocols: one line a message"
            )
            return
        response.read()
        kind = response.headers.get("Content-Type", "")
        answer = _shown(response.text) if "json" in kind else f"({len(response.content)} bytes)"
        self.exchanges.append(
            f"{_line(request)}{_body(request)}\n\n{response.status_code} {response.reason_phrase}\n"
            f"{answer}"
        )

    def page(self, title: str) -> str:
        blocks = "\n\n".join(f"```http\n{exchange}\n```" for exchange in self.exchanges)
        return f"# `coder {title}`\n\n{TOKEN.sub('TOKEN', blocks)}\n"


def _line(request: httpx.Request) -> str:
    return f"{request.method} {request.url.raw_path.decode()}"


def _body(request: httpx.Request) -> str:
    if not request.headers.get("Content-Type", "").startswith("application/json"):
        return ""
    return f"\n{_shown(request.content.decode())}"


def _shown(text: str) -> str:
    if not text:
        return ""
    lines = json.dumps(json.loads(text), indent=1).splitlines()
    cut = lines[:SHOWN_LINES]
    return "\n".join([*cut, f"... {len(lines) - len(cut)} more lines"] if lines != cut else cut)


@contextmanager
def installation() -> Iterator[tuple[str, str]]:
    """The URL of a running API, and a token of its owner."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        environment = {
            **{name: value for name, value in os.environ.items() if "PROVISIONERD" not in name},
            "PROVISIONERD_DATA_DIR": f"{folder}/data",
            "PROVISIONERD_METRICS_ADDRESS": free_address(),
            "PROVISIONERD_API_ADDRESS": free_address(),
            "PROVISIONERD_API_METRICS_ADDRESS": free_address(),
        }
        _run(environment, "user", "create", "ada")
        _run(environment, "group", "set-allowance", "Everyone", "20")
        url = f"http://{environment['PROVISIONERD_API_ADDRESS']}"
        up = subprocess.Popen([*COMMAND, "up"], env=environment, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: _answers(url), "the API to answer")
            made = _run(environment, "token", "create", "--user", "ada", "--output", "json")
            yield url, json.loads(made)["token"]
        finally:
            up.terminate()
            up.wait(60)


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").text == "OK"
    except httpx.HTTPError:
        return False


FLOWS: Mapping[str, Callable[[Coder], Any]] = {
    "whoami": lambda coder: coder.whoami(),
    "templates push": lambda coder: coder.templates_push("dev", tar_archive({"main.tf": BOX})),
    "templates list": lambda coder: coder.templates_list(),
    "templates versions list": lambda coder: coder.versions_list("dev"),
    "templates pull": lambda coder: coder.templates_pull("dev"),
    "create": lambda coder: coder.create("box", "dev"),
    "list": lambda coder: coder.workspaces(),
    "show": lambda coder: coder.show("box"),
    "state pull": lambda coder: coder.state_pull("box"),
    "stop": lambda coder: coder.stop("box"),
    "start": lambda coder: coder.start("box"),
    "rename": lambda coder: coder.rename("box", "crate"),
    "provisioner list": lambda coder: coder.provisioner_list(),
    "provisioner jobs list": lambda coder: coder.jobs_list(),
    "delete": lambda coder: coder.delete("crate"),
    "templates delete": lambda coder: coder.templates_delete("dev"),
}


def main() -> None:
    """Write a page for each flow."""
    FOLDER.mkdir(exist_ok=True)
    with installation() as (url, token):
        coder = Coder.login(url, token)
        for title, flow in FLOWS.items():
            recorder = Recorder()
            recorder.watch(coder.client)
            flow(coder)
            (FOLDER / f"{title.replace(' ', '-')}.md").write_text(recorder.page(title))
            coder.client.http.event_hooks["response"].clear()
        coder.client.close()
    names = [f"- [{title}]({title.replace(' ', '-')}.md)" for title in FLOWS]
    (FOLDER / "README.md").write_text(
        "# Recorded sessions\n\nThe requests that each command of Coder makes, and the answers, as"
        " the project's own test client\nmakes them in the same order"
        " (`python -m tests.harness.api.record`). Tokens are masked, long answers cut.\n\n"
        + "\n".join(names)
        + "\n"
    )


if __name__ == "__main__":
    main()
