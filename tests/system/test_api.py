"""``provisionerd up``: the HTTP API with a real worker, used by the commands of ``coder``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.harness.api.coder import Coder
from tests.harness.factory import tar_archive
from tests.harness.waiting import wait_until
from worker.process.children import free_address

COMMAND = (sys.executable, "-m", "cli.main")
BOX = b'resource "terraform_data" "box" {\n  input = { daily_cost = 5 }\n}\n'


@pytest.fixture
def environment() -> Iterator[Mapping[str, str]]:
    """Settings of an installation in a folder of its own."""
    kept = {name: value for name, value in os.environ.items() if "PROVISIONERD" not in name}
    # Not pytest's tmp_path: under root it is closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield {
            **kept,
            "PROVISIONERD_DATA_DIR": f"{folder}/data",
            "PROVISIONERD_METRICS_ADDRESS": free_address(),
            "PROVISIONERD_API_ADDRESS": free_address(),
            "PROVISIONERD_API_METRICS_ADDRESS": free_address(),
        }


def run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").text == "OK"
    except httpx.HTTPError:
        return False


def test_up_serves_the_commands_of_coder(environment: Mapping[str, str], tmp_path: Path) -> None:
    url = f"http://{environment['PROVISIONERD_API_ADDRESS']}"
    run(environment, "user", "create", "alice")
    run(environment, "group", "set-allowance", "Everyone", "20")
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen([*COMMAND, "up"], env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: answers(url), "the API to answer")
        link = re.search(r"http://\S+/login\S+", log.read_text())
        assert link is not None
        browser = httpx.Client(follow_redirects=True)
        assert browser.get(link[0]).status_code == 200
        assert browser.get(f"{url}/api/v2/users/me").json()["username"] == "alice"
        assert httpx.get(link[0]).status_code == 401, "the link logs in once"
        browser.close()
        token = json.loads(run(environment, "token", "create", "--user", "alice", "-o", "json"))
        coder = Coder.login(url, token["token"])
        coder.templates_push("dev", tar_archive({"main.tf": BOX}))
        coder.create("box", "dev")
        assert coder.show("box")["latest_build"]["daily_cost"] == 5
        coder.delete("box")
        assert [job["type"] for job in coder.jobs_list()][-1] == "template_version_import"
        scraped = httpx.get(
            f"http://{environment['PROVISIONERD_API_METRICS_ADDRESS']}/metrics"
        ).text
        assert 'route="/api/v2/users/{user}/workspaces",status="201"} 1.0' in scraped
        assert "provisionerd_api_notices_received 1.0" in scraped
        coder.logout()
        coder.client.close()
    finally:
        up.terminate()
        up.wait(60)
