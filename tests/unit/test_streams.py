"""The command line and its standard streams: closed, full, or of a small encoding."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRINT = """
import sys
from cli.streams import explaining_unwritable, prepare_streams
prepare_streams()
with explaining_unwritable():
    print("a \\N{SNOWMAN} and \\udcff")
"""


def run(redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, PRINT],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_written_with_backslashes(encoding: str) -> None:
    ended = run("", PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("and \\udcff\n")


def test_a_full_output_is_one_sentence() -> None:
    ended = run(">/dev/full")
    assert ended.returncode == 1
    assert ended.stderr == "Error: the output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_fails_no_command(redirection: str) -> None:
    ended = run(redirection)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    code = f"{PRINT}\nsys.stderr.write(str(open('/dev/null').fileno()))"
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert int(ended.stderr) > 2
