"""Jobs, queues and workers from the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import Database
from db.jobs.results import BuildResult
from db.jobs.transitions import ClaimedJob
from db.jobs.workers import sign_off_worker, touch_worker
from db.schema.enums import JobErrorCode, JobStatus, TimingStage
from tests.harness.factory import Factory, timing
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, Unchanged, age_workers, refused

DEADLINE_S = 30


def test_jobs_are_listed_newest_first(run: CommandLine, factory: Factory) -> None:
    jobs = [factory.finished_build(), factory.finished_build()]

    assert [row["id"] for row in run.json("jobs", "list")] == [str(j.id) for j in reversed(jobs)]


def test_jobs_of_several_organizations_are_in_one_order(run: CommandLine, factory: Factory) -> None:
    first, second = factory.any_workspace(), factory.any_workspace()
    jobs = [factory.finished_build(w).id for w in (first, second, first, second)]

    rows = run.json("jobs", "list", "--limit", "3")

    assert [row["id"] for row in rows] == [str(job) for job in reversed(jobs)][:3]


def test_the_next_page_begins_after_the_last_job(run: CommandLine, factory: Factory) -> None:
    jobs = [factory.finished_build().id for _ in range(3)]

    rows = run.json("jobs", "list", "--before", str(jobs[2]), "--limit", "1")

    assert [row["id"] for row in rows] == [str(jobs[1])]


def test_jobs_are_filtered_by_status(run: CommandLine, factory: Factory) -> None:
    factory.finished_build(status=JobStatus.FAILED)
    running = factory.running_build()

    rows = run.json("jobs", "list", "--status", "running", "--status", "pending")

    assert [row["id"] for row in rows] == [str(running.id)]


def test_jobs_are_filtered_by_owner(run: CommandLine, factory: Factory) -> None:
    factory.finished_build()
    mine = factory.finished_build()
    owner = run.json("jobs", "show", str(mine.id))["workspace_owner_name"]

    assert [row["id"] for row in run.json("jobs", "list", "--owner", owner)] == [str(mine.id)]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param("INSUFFICIENT_QUOTA", "refused", id="code"),
        pytest.param("none", "broken", id="without a code"),
    ],
)
def test_jobs_are_filtered_by_error_code(
    run: CommandLine, factory: Factory, code: str, found: str
) -> None:
    factory.finished_build()
    factory.build(factory.any_workspace())
    factory.claim()
    jobs = {
        "broken": factory.finished_build(status=JobStatus.FAILED),
        "refused": factory.finished_build(
            status=JobStatus.FAILED, error_code=JobErrorCode.INSUFFICIENT_QUOTA
        ),
    }

    rows = run.json("jobs", "list", "--error-code", code)

    assert [row["id"] for row in rows] == [str(jobs[found].id)]


def test_jobs_are_filtered_by_the_name_of_the_workspace(run: CommandLine, factory: Factory) -> None:
    workspace = factory.any_workspace()
    mine = factory.finished_build(workspace)
    factory.finished_build()

    rows = run.json("jobs", "list", "--workspace", workspace.name.upper())

    assert [row["id"] for row in rows] == [str(mine.id)]


def test_jobs_are_filtered_by_queue(run: CommandLine, factory: Factory) -> None:
    factory.finished_build()
    tagged = factory.build(factory.any_workspace(tags={"gpu": "a100"}))

    rows = run.json("jobs", "list", "--queue", tagged.queue)

    assert [row["id"] for row in rows] == [str(tagged.job_id)]


def test_a_list_cannot_be_watched_without_a_terminal(run: CommandLine) -> None:
    refused(run("jobs", "list", "--watch"), "--watch needs a terminal")


def test_a_watched_list_ends_cleanly_with_ctrl_c(
    environment: Mapping[str, str | None], factory: Factory
) -> None:
    job = factory.running_build()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "jobs", "list", "--watch"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**{n: v for n, v in {**os.environ, **environment}.items() if v}, "COLUMNS": "200"},
        cwd=Path(__file__).parents[3],
    )
    os.close(theirs)
    try:
        seen = read_until(ours, str(job.id)[:8])
        process.send_signal(signal.SIGINT)
        seen += read_until(ours, None)
        status = process.wait(DEADLINE_S)
    finally:
        os.close(ours)
        process.kill()
        process.wait(DEADLINE_S)

    assert status == 0
    assert "Traceback" not in seen


def read_until(terminal: int, word: str | None) -> str:
    """Return what comes on the terminal up to a word, or until nobody writes any more."""
    came = ""
    while word is None or word not in came:
        assert select.select([terminal], [], [], DEADLINE_S)[0], f"nothing comes after {came!r}"
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not chunk:
            break
        came += chunk.decode(errors="replace")
    return came


def timed_build(factory: Factory) -> ClaimedJob:
    now = datetime.now(UTC)
    rows = [
        timing(TimingStage.INIT, started_at=now, seconds=1),
        timing(TimingStage.PLAN, started_at=now, seconds=2),
        timing(TimingStage.PLAN, started_at=now, seconds=9, resource="terraform_data.box"),
    ]
    return factory.finished_build(result=BuildResult(timings=rows))


def test_a_job_shows_how_long_each_stage_took(run: CommandLine, factory: Factory) -> None:
    shown = run.json("jobs", "show", str(timed_build(factory).id))

    assert [row["stage"] for row in shown["durations"]] == ["queue", "init", "plan"]
    assert [row["seconds"] for row in shown["durations"]][1:] == [1.0, 2.0]


def test_a_job_shows_its_stages_as_bars(run: CommandLine, factory: Factory) -> None:
    lines = run("jobs", "show", str(timed_build(factory).id)).stdout.splitlines()

    bars = {line.split()[0]: line.count("█") for line in lines[-3:]}
    assert (bars["plan"], bars["init"]) == (40, 20)


def test_a_pending_job_shows_how_long_it_waits(run: CommandLine, factory: Factory) -> None:
    build = factory.build(factory.any_workspace())

    (wait,) = run.json("jobs", "show", str(build.job_id))["durations"]

    assert wait["stage"] == "queue"
    assert wait["seconds"] > 0


def test_a_job_shows_why_it_failed(run: CommandLine, factory: Factory) -> None:
    job = factory.finished_build(
        status=JobStatus.FAILED, error="no", error_code=JobErrorCode.INSUFFICIENT_QUOTA
    )

    shown = run.json("jobs", "show", str(job.id))

    assert (shown["status"], shown["error"], shown["error_code"], shown["failure_reason"]) == (
        "failed",
        "no",
        "INSUFFICIENT_QUOTA",
        "terraform",
    )


def test_a_pending_job_shows_its_position(run: CommandLine, factory: Factory) -> None:
    factory.build(factory.any_workspace())
    second = factory.build(factory.any_workspace())

    shown = run("jobs", "show", str(second.job_id)).stdout

    assert "Position in queue  2 of 2" in shown


def test_the_beginning_of_an_id_is_enough(run: CommandLine, factory: Factory) -> None:
    job = factory.finished_build()

    assert run.json("jobs", "show", str(job.id)[:11].upper())["id"] == str(job.id)


def test_an_ambiguous_beginning_is_refused(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    # 17 ids have 16 first digits: two of them agree.
    workspace = factory.any_workspace()
    others = [factory.namesake(workspace, name=f"other-{number}") for number in range(16)]
    jobs = [str(factory.build(built).job_id) for built in (workspace, *others)]
    firsts = [job[0] for job in jobs]
    shared = next(first for first in firsts if firsts.count(first) > 1)

    refused(run("jobs", "show", shared), f"several jobs begin with {shared}")


@pytest.mark.parametrize("command", ["show", "logs", "cancel"])
@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        pytest.param(str(uuid.UUID(int=0)), "there is no job", id="unknown"),
        pytest.param("xyz", "'xyz' is not a job ID", id="no id"),
        pytest.param("0" * 33, "is not a job ID", id="too long"),
    ],
)
def test_a_job_that_is_not_there_is_refused(
    run: CommandLine, nothing_changes: Unchanged, command: str, job: str, sentence: str
) -> None:
    with nothing_changes():
        refused(run("jobs", command, job), sentence)


def test_a_log_is_printed_under_its_stages(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one", "two")
    factory.write_lines(job, "three", stage="Planning Infrastructure")

    assert run("jobs", "logs", str(job.id)).stdout == (
        "==> Setting up\none\ntwo\n==> Planning Infrastructure\nthree\n"
    )


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        pytest.param(["--tail", "1"], ["three"], id="last line"),
        pytest.param(["--tail", "0"], [], id="no line"),
        pytest.param(["--tail", "9"], ["one", "two", "three"], id="fewer lines than asked for"),
        pytest.param(["--since", "1h"], ["two", "three"], id="last hour"),
        pytest.param(["--since", "1h", "--tail", "1"], ["three"], id="both"),
    ],
)
def test_a_part_of_a_log_is_printed(
    run: CommandLine, factory: Factory, database: Database, options: list[str], lines: list[str]
) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one", "two", "three")
    with database.begin() as session:
        session.execute(
            text(
                "UPDATE provisioner_job_logs SET created_at = now() - interval '1 day'"
                " WHERE output = 'one'"
            )
        )

    found = run.json("jobs", "logs", str(job.id), *options)

    assert [line["output"] for line in found] == lines


def test_lines_have_their_times_when_asked_for(run: CommandLine, factory: Factory) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one")

    heading, line = run("jobs", "logs", str(job.id), "--timestamps").stdout.splitlines()

    assert heading == "==> Setting up"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+  one", line)


def test_the_end_of_a_log_is_followed(run: CommandLine, factory: Factory) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one", "two")
    factory.finish(job)

    assert run("jobs", "logs", str(job.id), "-f", "--tail", "1").stdout.splitlines()[-1] == "two"


def test_a_long_log_is_printed_whole(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    job = factory.running_build()
    factory.write_lines(job, *(str(number) for number in range(2500)))

    lines = run.json("jobs", "logs", str(job.id))

    assert [line["output"] for line in lines] == [str(number) for number in range(2500)]


def test_a_long_line_is_not_wrapped(run: CommandLine, factory: Factory, database: Database) -> None:
    job = factory.running_build()
    factory.write_lines(job, "x" * 1000)

    assert "x" * 1000 in run("jobs", "logs", str(job.id)).stdout.splitlines()


def test_a_log_can_not_drive_the_terminal(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    job = factory.running_build()
    factory.write_lines(job, "\x1b]0;title\x07[bold]kept[/bold]")

    assert "]0;title[bold]kept[/bold]\n" in run("jobs", "logs", str(job.id)).stdout


def test_following_a_finished_job_prints_its_log_and_ends(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    job = factory.running_build()
    factory.write_lines(job, "all")
    factory.finish(job)

    result = run("jobs", "logs", str(job.id), "--follow")

    assert (result.exit_code, result.stdout) == (0, "==> Setting up\nall\n")


def test_following_as_json_is_wrong_usage(run: CommandLine) -> None:
    assert run("jobs", "logs", "0", "--follow", "--output", "json").exit_code == 2


@pytest.mark.parametrize(
    ("is_running", "status"),
    [pytest.param(False, "canceled", id="pending"), pytest.param(True, "canceling", id="running")],
)
def test_a_cancel_is_a_request(
    run: CommandLine, factory: Factory, is_running: bool, status: str
) -> None:
    job_id = (
        factory.running_build().id if is_running else factory.build(factory.any_workspace()).job_id
    )

    assert run.json("jobs", "cancel", str(job_id)) == {"id": str(job_id), "status": status}


def test_a_finished_job_can_not_be_canceled(
    run: CommandLine, factory: Factory, nothing_changes: Unchanged
) -> None:
    job = factory.finished_build()

    with nothing_changes():
        refused(run("jobs", "cancel", str(job.id)), "Job has already completed!")


def test_a_second_cancel_is_refused(
    run: CommandLine, factory: Factory, nothing_changes: Unchanged
) -> None:
    job = factory.running_build()
    run("jobs", "cancel", str(job.id))

    with nothing_changes():
        refused(run("jobs", "cancel", str(job.id)), "already been marked as canceled")


def test_queues_tell_what_waits_and_for_how_many(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    factory.build(factory.any_workspace())
    sign_on(database, "worker")

    (row,) = run.json("queue")

    assert (row["queue"], row["depth"], row["workers"], row["slots"]) == ("builds", 1, 1, 4)


def test_an_explanation_names_the_missing_tag(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    build = factory.build(factory.any_workspace(tags={"cluster": "gpu", "zone": "a"}))
    sign_on(database, "west", {"cluster": "cpu", "zone": "a"})

    shown = run.json("queue", "explain", str(build.job_id))

    assert shown["verdict"] == (
        "0 of 1 workers match: start one with"
        " `PROVISIONERD_TAGS=cluster=gpu,zone=a provisionerd worker`"
    )
    assert shown["workers"] == [
        {
            "worker": "west",
            "status": "idle",
            "matches": False,
            "missing_tags": {"cluster": "gpu"},
            "reason": "lacks cluster=gpu",
        }
    ]


def test_an_explanation_tells_of_a_worker_that_vanished(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    build = factory.build(factory.any_workspace())
    sign_on(database, "lost")
    age_workers(database)

    shown = run("queue", "explain", str(build.job_id)).stdout

    assert "every worker that matches is offline or draining" in shown
    assert "vanished, last seen 60 min ago" in shown


def test_an_explanation_of_a_finished_job_says_so(run: CommandLine, factory: Factory) -> None:
    job = factory.finished_build()

    assert run.json("queue", "explain", str(job.id))["verdict"] == (
        "the job does not wait: it has succeeded"
    )


def test_workers_tell_what_they_do(run: CommandLine, database: Database) -> None:
    for name in ("idle", "draining", "gone"):
        sign_on(database, name)
    ids = {row["name"]: uuid.UUID(row["id"]) for row in run.json("workers")}
    with database.begin() as session:
        touch_worker(session, worker_id=ids["draining"], draining=True)
        sign_off_worker(session, worker_id=ids["gone"])

    assert {row["name"]: row["status"] for row in run.json("workers")} == {
        "idle": "idle",
        "draining": "draining",
        "gone": "offline",
    }


def test_a_worker_with_a_job_is_busy(
    run: CommandLine, database: Database, factory: Factory
) -> None:
    sign_on(database, "hand")
    worker_id = uuid.UUID(run.json("workers")[0]["id"])
    factory.build(factory.any_workspace())
    factory.claim(worker_id=worker_id)

    (row,) = run.json("workers")

    assert (row["status"], row["running_jobs"], row["version"]) == ("busy", 1, "1.2.3")
    assert (row["slots"], row["free_slots"]) == (4, 3)


def test_the_table_of_workers_shows_tags_without_the_usual_scope(
    run: CommandLine, database: Database
) -> None:
    sign_on(database, "tagged", {"cluster": "gpu"})

    _head, line = run("workers").stdout.splitlines()

    assert line.split()[:4] == ["tagged", "idle", "cluster=gpu", "echo,terraform"]


def test_every_time_in_json_has_its_zone(run: CommandLine, factory: Factory) -> None:
    factory.finished_build()

    (row,) = json.loads(run("jobs", "list", "-o", "json").stdout)

    assert datetime.fromisoformat(row["created_at"]).tzinfo is not None
