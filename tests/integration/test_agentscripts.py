"""The script that starts an agent on a Linux machine, really run."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioner.platform.agentscripts import own_scripts

AGENT = """#!/bin/sh
if [ "$1" = --version ]; then echo "{version}"; exit; fi
echo "$1 $CODER_AGENT_AUTH $CODER_AGENT_URL" > "$RESULT"
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a platform that serves what is in ``tmp_path``."""
    (tmp_path / "bin").mkdir()
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def run(tmp_path: Path, url: str, *, version: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the provider completes it; a failure would wait for a day."""
    (tmp_path / "bin" / "coder-linux-amd64").write_text(AGENT.format(version=version))
    text = own_scripts()["linux_amd64"].replace("${ACCESS_URL}", url)
    script = tmp_path / "script"
    script.write_text(text.replace("${AUTH_TYPE}", "token").replace("sleep 86400", "true"))
    environment = {"PATH": path, "HOME": str(tmp_path), "RESULT": str(tmp_path / "result")}
    return subprocess.run(
        ["/bin/sh", str(script)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def path_without(tmp_path: Path, *left_out: str) -> str:
    """Return a PATH with the programs that the script needs, but those left out."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("cat", "chmod", "curl", "head", "mkdir", "mktemp", "sh", "sleep", "wget"):
        if name not in left_out and (found := shutil.which(name)):
            (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize("fetcher", ["curl", "wget"])
def test_an_agent_is_fetched_and_started(tmp_path: Path, url: str, fetcher: str) -> None:
    if shutil.which(fetcher) is None:
        pytest.skip(f"{fetcher} is not installed")
    path = path_without(tmp_path, "wget" if fetcher == "curl" else "curl")
    done = run(tmp_path, url, version="Coder v2.99.0", path=path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result").read_text() == f"agent token {url}\n"


def test_what_is_no_agent_is_not_started(tmp_path: Path, url: str) -> None:
    done = run(tmp_path, url, version="nginx", path=path_without(tmp_path))
    assert (done.returncode, (tmp_path / "result").exists()) == (2, False)
    assert "is not an agent: it says 'nginx' as its version" in done.stderr


def test_a_machine_without_a_way_to_fetch_says_so(tmp_path: Path, url: str) -> None:
    done = run(tmp_path, url, version="x", path=path_without(tmp_path, "curl", "wget"))
    assert done.returncode == 127
    assert "Neither curl nor wget nor busybox is installed" in done.stderr
