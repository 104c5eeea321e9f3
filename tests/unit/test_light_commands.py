"""What a command does not import, because that would take long. No test measures time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness.canned import answer_of, answering
from tests.harness.loaded import HEAVY, imported


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_says_nothing_of_a_deployment_imports_nothing_that_takes_long(option: str) -> None:
    assert imported(option, among=HEAVY) == set()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["wor"], id="command"),
        pytest.param(["jobs", "li"], id="command of a group"),
        pytest.param(["jobs", "list", "--status", "pen"], id="value"),
    ],
)
def test_completing_a_word_imports_no_command(words: list[str]) -> None:
    asked = {
        "_PROVISIONERD_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["provisionerd", *words]),
        "COMP_CWORD": str(len(words)),
    }
    assert imported(among={*HEAVY, "cli.jobs", "cli.worker"}, environment=asked) == set()


def test_a_list_of_jobs_over_the_api_imports_nothing_of_the_database() -> None:
    with answering(answer_of(200, [])) as server:
        asked = {
            "PROVISIONERD_URL": server.url,
            "PROVISIONERD_TOKEN": "abcdefghij-secret",
            "PROVISIONERD_CONFIG": "/dev/null",
        }
        unwanted = {*HEAVY - {"sqlalchemy", "pydantic"}, "sqlalchemy.orm", "worker.settings"}
        assert imported("jobs", "list", among=unwanted, environment=asked) == set()


def test_a_caller_that_imports_enqueueing_imports_no_orm() -> None:
    code = "import sys, worker.enqueue; print('sqlalchemy.orm' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_the_modules_of_a_command_are_left_out_of_garbage_collection() -> None:
    code = """
import gc
from cli.lazy import imported
imported("cli.version:version")
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "True True\n"
