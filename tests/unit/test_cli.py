"""The command line without any service: help, usage, and how things are said."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import psycopg
import pytest
import redis
import sqlalchemy.exc
from click.testing import CliRunner
from rich.console import Console

from cli.building import exit_status
from cli.doctor.deployment import check_workers, connections_result
from cli.doctor.result import Verdict
from cli.main import COMMANDS, cli
from cli.options import to_mapping
from cli.outline import FILE as OUTLINE
from cli.printing import print_bars
from cli.table import plain
from cli.waiting import View, no_worker
from db.engine import DatabaseError
from db.errors import BuildActiveError
from db.jobs.tags import normalize_tags, queue_name, served_queues
from db.reads.explanation import match, verdict
from db.reads.jobs import Job
from db.reads.progress import JobProgress
from db.reads.server import ConnectionFacts
from db.reads.workers import WorkerListing
from db.schema.enums import JobErrorCode, JobStatus
from db.texts import seconds_text, tags_text
from docs.generator.examples import example_job, example_worker
from provisioner.engines.terraform.binary import TerraformNotFoundError
from provisioner.engines.terraform.hcl import TemplateError
from provisioner.host.members import ArchiveError
from worker.embedded import EmbeddedError
from worker.process.explanation import explain
from worker.settings import SettingsError


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group with its whole name."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        for inner, leaf in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", leaf


def leaves() -> list[str]:
    return [name for name, command in commands() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("name", [name for name, _command in commands()])
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), "--help"])

    assert result.exit_code == 0
    assert f"Usage: cli {name}" in result.stdout


@pytest.mark.parametrize("name", leaves())
def test_every_help_teaches_with_an_example(name: str) -> None:
    text = CliRunner().invoke(cli, [*name.split(), "--help"]).stdout

    example = re.split(r"Examples?:\n", text)[-1].partition("\n\n")[0]
    # On lines of its own: click would join them with the words before.
    assert "provisionerd " + name in example


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        pytest.param(["workspaces", "ls"], "workspace list", id="plural, and ls"),
        pytest.param(["job", "ls"], "jobs list", id="singular"),
        pytest.param(["template", "rm"], "template delete", id="rm"),
    ],
)
def test_habits_of_other_programs_are_understood(words: list[str], usage: str) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"]).stdout

    group, command = usage.split()
    assert f"provisionerd {group} {command}" in text


@pytest.mark.parametrize("words", [["workers", "list"], ["queues", "ls"]])
def test_the_word_list_is_understood_where_none_is_needed(words: list[str]) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"]).stdout
    assert "--sort-by" in text


def test_the_version_is_a_command_and_an_option() -> None:
    version = importlib.metadata.version("provisionerd")

    assert f"provisionerd {version}" in CliRunner().invoke(cli, ["version"]).stdout
    assert version in CliRunner().invoke(cli, ["--version"]).stdout


@pytest.mark.parametrize(
    "name", [name for name, command in commands() if isinstance(command, click.Group)]
)
def test_a_list_of_commands_cuts_no_sentence(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).stdout

    listed = text.partition("Commands:\n")[2].splitlines()
    assert [line for line in listed if line.endswith("...")] == []


def test_help_names_every_command() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout

    assert [name for name in COMMANDS if f"  {name} " not in text] == []


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of the words."""
    ran = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()"],
        env={
            **os.environ,
            "_PROVISIONERD_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["provisionerd", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.removeprefix("plain,") for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(["wor"], ["worker", "workspace", "workers"], id="command"),
        pytest.param(["--da"], ["--data-dir"], id="option"),
        pytest.param(["jobs", "li"], ["list"], id="command of a group"),
        pytest.param(["jobs", "list", "--wa"], ["--watch"], id="option of a command"),
        pytest.param(["jobs", "list", "--status", "pen"], ["pending"], id="value"),
    ],
)
def test_a_shell_completes_words(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_asks_provisionerd(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell], prog_name="provisionerd")

    assert result.exit_code == 0
    assert f"_PROVISIONERD_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["completion", "tcsh"], id="unknown shell"),
        pytest.param(["jobs", "list", "--watch", "--output", "json"], id="watch in JSON"),
        pytest.param(["jobs", "list", "--error-code", "OOPS"], id="unknown code"),
        pytest.param(["wrokspace"], id="unknown command"),
        pytest.param(["workspace", "create"], id="no name"),
        pytest.param(["jobs", "list", "--status", "sleeping"], id="unknown status"),
        pytest.param(["jobs", "list", "--limit", "0"], id="limit too low"),
        pytest.param(["workers", "--output", "xml"], id="unknown output"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 2


@pytest.fixture
def extension(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that sees another package's commands."""
    folder = tmp_path / "extension-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[provisionerd.commands]\ngreet = extension:greet\nbroken = extension:missing\n"
    )
    (tmp_path / "extension.py").write_text(
        "import click\n\n\n@click.command()\ndef greet():\n"
        '    """Say hello."""\n    click.echo("hello")\n'
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def provisionerd(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_of_other_packages_run(extension: dict[str, str]) -> None:
    assert provisionerd(extension, "greet").stdout == "hello\n"


def test_commands_of_other_packages_are_listed_even_when_broken(
    extension: dict[str, str],
) -> None:
    text = provisionerd(extension, "--help").stdout

    assert "See `provisionerd greet --help`." in text
    assert "See `provisionerd broken --help`." in text


def test_a_broken_command_is_refused_in_one_sentence(extension: dict[str, str]) -> None:
    ran = provisionerd(extension, "broken")

    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: the command 'broken' of another package")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "error",
    [
        BuildActiveError(),
        SettingsError("wrong"),
        DatabaseError("wrong"),
        EmbeddedError("wrong"),
        ArchiveError("wrong"),
        TemplateError("wrong"),
        TerraformNotFoundError("wrong"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_for_the_user_is_its_own_sentence(error: Exception) -> None:
    assert explain(error) == str(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            sqlalchemy.exc.OperationalError("SELECT", {}, psycopg.OperationalError("refused\nx")),
            "the database cannot be used (refused); check PROVISIONERD_DATABASE_URL and that"
            " PostgreSQL runs",
            id="database",
        ),
        pytest.param(
            redis.exceptions.ConnectionError("refused"),
            "Redis cannot be reached (refused); check PROVISIONERD_REDIS_URL and that Redis runs",
            id="Redis",
        ),
        pytest.param(
            UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"),
            "'\\udcff' is not valid Unicode text",
            id="no text",
        ),
        pytest.param(
            sqlalchemy.exc.DataError("SELECT", {}, psycopg.DataError("timestamp too small")),
            "a value cannot be stored or looked for (timestamp too small)",
            id="no value",
        ),
        pytest.param(RuntimeError("a fault of ours"), None, id="fault"),
        pytest.param(
            sqlalchemy.exc.ProgrammingError("SELECT", {}, psycopg.ProgrammingError("no column")),
            None,
            id="wrong SQL",
        ),
    ],
)
def test_an_error_of_a_service_says_what_to_look_at(error: Exception, said: str | None) -> None:
    assert explain(error) == said


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        pytest.param([], {}, id="none"),
        pytest.param(["a=1", "b="], {"a": "1", "b": ""}, id="empty value"),
        pytest.param(["a=b=c"], {"a": "b=c"}, id="equals sign in the value"),
        pytest.param([" a = 1 "], {"a": " 1 "}, id="spaces stay in the value"),
    ],
)
def test_pairs_are_split_at_the_first_equals_sign(pairs: list[str], values: dict[str, str]) -> None:
    assert to_mapping(click.Context(cli), click.Option(["--param"]), pairs) == values


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "never"), (0, "0 s"), (119.9, "119 s"), (120, "2 min"), (7200, "2 h"), (1e6, "11 d")],
)
def test_spans_are_said_in_one_unit(seconds: float | None, said: str) -> None:
    assert seconds_text(seconds) == said


def test_text_loses_what_drives_a_terminal() -> None:
    assert plain("a\x1b[31m\tb\x00\x9b\r\nc") == "a[31m\tbc"


def test_the_scope_that_everything_has_is_not_shown() -> None:
    assert tags_text(normalize_tags({"b": "2", "a": "1"})) == "a=1,b=2"


PROGRESS = JobProgress(
    status=JobStatus.PENDING,
    stage=None,
    queue="builds",
    error=None,
    error_code=None,
    daily_cost=0,
    quota_budget=None,
    quota_credits_consumed=None,
    workers=0,
)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        pytest.param(JobStatus.SUCCEEDED, None, 0, id="succeeded"),
        pytest.param(JobStatus.FAILED, None, 1, id="failed"),
        pytest.param(JobStatus.CANCELED, None, 1, id="canceled"),
        pytest.param(JobStatus.FAILED, JobErrorCode.MISSING_TEMPLATE_PARAMETER, 1, id="parameter"),
        pytest.param(JobStatus.FAILED, JobErrorCode.INSUFFICIENT_QUOTA, 3, id="quota"),
    ],
)
def test_the_exit_status_tells_how_a_build_ended(
    status: JobStatus, code: JobErrorCode | None, expected: int
) -> None:
    assert exit_status(replace(PROGRESS, status=status, error_code=code)) == expected


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_the_reason_of_a_failure_once(*, is_terminal: bool) -> None:
    view = View(console=Console(file=io.StringIO(), force_terminal=is_terminal), last="it broke")

    told = view.reason(replace(PROGRESS, status=JobStatus.FAILED, error="it broke"))

    assert (told == "it broke") is not is_terminal


def test_a_reason_that_was_not_shown_is_told() -> None:
    view = View(console=Console(file=io.StringIO(), force_terminal=True), last="another line")

    assert view.reason(replace(PROGRESS, error="it broke")) == "it broke"


@pytest.mark.parametrize(
    ("tags", "advice"),
    [
        pytest.param({}, "`provisionerd up` or `provisionerd worker`", id="no tags"),
        pytest.param(
            {"gpu": "a100", "zone": "b"},
            "`PROVISIONERD_TAGS=gpu=a100,zone=b provisionerd worker`",
            id="tags",
        ),
        pytest.param(
            {"gpu": "a 100"}, "`PROVISIONERD_TAGS='gpu=a 100' provisionerd worker`", id="quoted"
        ),
    ],
)
def test_the_worker_that_a_waiting_job_lacks_is_named(tags: dict[str, str], advice: str) -> None:
    waiting = replace(PROGRESS, tags=normalize_tags(tags))

    assert no_worker(waiting).endswith(f"start one with {advice}")


def pending_job(**tags: str) -> Job:
    return example_job(
        uuid.uuid4(),
        status=JobStatus.PENDING,
        queue=queue_name(tags),
        tags=normalize_tags(tags),
        queue_position=3,
        queue_size=5,
        started_at=None,
        worker_name=None,
    )


def seen_worker(
    *, status: str = "idle", is_stale: bool = False, engine: str = "terraform", **tags: str
) -> WorkerListing:
    return example_worker(
        status=status,
        is_stale=is_stale,
        tags=normalize_tags(tags),
        provisioners=[engine],
        queues=served_queues(tags),
        last_seen_s=10,
    )


@pytest.mark.parametrize(
    ("job", "worker", "matches", "reason"),
    [
        pytest.param(pending_job(), seen_worker(), True, "", id="both untagged"),
        pytest.param(pending_job(a="1"), seen_worker(a="1", b="2"), True, "", id="superset"),
        pytest.param(pending_job(a="1"), seen_worker(), False, "lacks a=1", id="missing tag"),
        pytest.param(pending_job(a="1"), seen_worker(a="2"), False, "lacks a=1", id="other value"),
        pytest.param(
            pending_job(),
            seen_worker(a="1"),
            False,
            "has tags, and jobs without tags are for workers without tags",
            id="untagged job",
        ),
        pytest.param(
            pending_job(),
            seen_worker(engine="echo"),
            False,
            "does not offer the engine terraform",
            id="engine",
        ),
        pytest.param(
            pending_job(scope="user", owner="u"),
            seen_worker(),
            False,
            "lacks owner=u, scope=user",
            id="scope",
        ),
        pytest.param(
            pending_job(),
            seen_worker(status="offline"),
            True,
            "signed off, last seen 10 s ago",
            id="signed off",
        ),
        pytest.param(
            pending_job(),
            seen_worker(status="offline", is_stale=True),
            True,
            "vanished, last seen 10 s ago",
            id="vanished",
        ),
        pytest.param(
            pending_job(), seen_worker(status="draining"), True, "takes no new jobs", id="draining"
        ),
    ],
)
def test_a_match_says_why_not(job: Job, worker: WorkerListing, matches: bool, reason: str) -> None:
    found = match(job, worker)

    assert (found.matches, found.reason) == (matches, reason)


@pytest.mark.parametrize(
    ("job", "workers", "said"),
    [
        pytest.param(
            pending_job(),
            [seen_worker(), seen_worker(a="1")],
            "2 jobs are ahead of it for 1 live workers that match",
            id="alive",
        ),
        pytest.param(
            pending_job(),
            [seen_worker(status="offline")],
            "every worker that matches is offline or draining: start one again",
            id="offline",
        ),
        pytest.param(
            pending_job(a="1"),
            [seen_worker()],
            "0 of 1 workers match: start one with `PROVISIONERD_TAGS=a=1 provisionerd worker`",
            id="none matches",
        ),
        pytest.param(
            pending_job(),
            [],
            "0 of 0 workers match: start one with `provisionerd worker`",
            id="no worker",
        ),
    ],
)
def test_a_verdict_says_why_a_job_waits(job: Job, workers: list[WorkerListing], said: str) -> None:
    matches = [match(job, worker) for worker in workers]

    assert verdict(job, matches) == said


def live_worker(*, slots: int, version: str | None = None) -> WorkerListing:
    return replace(
        seen_worker(), slots=slots, version=version or importlib.metadata.version("provisionerd")
    )


@pytest.mark.parametrize(
    ("slots", "allowed", "verdict_of_it"),
    [
        pytest.param([4, 4], 100, Verdict.OK, id="enough"),
        pytest.param([44], 97, Verdict.OK, id="just enough"),
        pytest.param([45], 97, Verdict.WARNING, id="one too many"),
        pytest.param([16] * 10, 100, Verdict.WARNING, id="many workers"),
        pytest.param([], 5, Verdict.OK, id="no workers"),
    ],
)
def test_pools_of_workers_are_compared_with_what_postgresql_allows(
    slots: list[int], allowed: int, verdict_of_it: Verdict
) -> None:
    workers = [live_worker(slots=count) for count in slots]

    result = connections_result(workers, ConnectionFacts(used=1, allowed=allowed, reserved=3))

    assert result.verdict is verdict_of_it
    assert bool(result.fix) is (verdict_of_it is Verdict.WARNING)


def test_workers_of_another_version_are_told() -> None:
    results = {row.check: row for row in check_workers([live_worker(slots=1, version="0.0.1")])}

    assert results["versions"].verdict is Verdict.WARNING
    assert "0.0.1" in results["versions"].found


def test_the_longest_bar_fills_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_bars([("queue", 4.0), ("plan", 1.0), ("apply", 0.0)], unit="s")

    bars = [line.count("█") for line in capsys.readouterr().out.splitlines()]
    assert bars == [40, 10, 0]


def test_bars_of_nothing_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_bars([("queue", 0.0)], unit="s")

    assert capsys.readouterr().out.split() == ["queue", "0.00", "s"]


def test_commands_that_destroy_can_be_told_not_to_ask() -> None:
    asking = {
        path
        for path, entry in json.loads(OUTLINE.read_text()).items()
        if any("--yes" in option["names"] for option in entry["params"])
    }
    destroying = {
        path for path in json.loads(OUTLINE.read_text()) if path.endswith((" delete", " revoke"))
    }
    assert destroying <= asking
