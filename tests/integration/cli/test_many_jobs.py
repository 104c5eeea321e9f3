"""Retrying, awaiting and canceling one job or many."""

from __future__ import annotations

import pytest

from db.engine import Database
from db.reads.builds import find_parameters
from db.schema.enums import JobErrorCode, JobStatus, Stage, Transition
from db.schema.tables import Organization
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, Unchanged, refused


def test_a_failed_build_is_enqueued_again(run: CommandLine, factory: Factory) -> None:
    failed = factory.finished_build(transition=Transition.STOP, status=JobStatus.FAILED)

    retried = run.json("jobs", "retry", str(failed.id))

    assert (retried["retried_job_id"], retried["transition"], retried["build_number"]) == (
        str(failed.id),
        "stop",
        2,
    )
    assert run.json("jobs", "show", retried["id"])["status"] == "pending"
    (entry,) = run.json("audit", "list")
    assert entry["action"] == "retry"


def test_a_retry_has_the_values_that_were_chosen_for_the_build(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    workspace = factory.any_workspace()
    factory.forget_import(workspace.template_id)
    factory.finished_build(workspace, stage=Stage.APPLY, parameters={"size": "1", "zone": "a"})
    failed = factory.finished_build(workspace, status=JobStatus.FAILED, parameters={"size": "2"})

    new = run.json("jobs", "show", run.json("jobs", "retry", str(failed.id))["id"])

    with database.begin() as session:
        values = find_parameters(session, new["workspace_build_id"])
    assert values == {"size": "2", "zone": "a"}


def test_a_build_that_succeeded_is_not_retried(
    run: CommandLine, factory: Factory, nothing_changes: Unchanged
) -> None:
    job = factory.finished_build()

    with nothing_changes():
        refused(run("jobs", "retry", str(job.id)), "only a failed or canceled one is retried")


def test_a_build_is_not_retried_over_a_later_one(
    run: CommandLine, factory: Factory, nothing_changes: Unchanged
) -> None:
    workspace = factory.any_workspace()
    failed = factory.finished_build(workspace, status=JobStatus.FAILED)
    factory.finished_build(workspace)

    with nothing_changes():
        refused(run("jobs", "retry", str(failed.id)), "The workspace has a later build.")


def test_failed_builds_are_retried_by_a_filter(run: CommandLine, factory: Factory) -> None:
    refused_by_quota = factory.finished_build(
        status=JobStatus.FAILED, error_code=JobErrorCode.INSUFFICIENT_QUOTA
    )
    factory.finished_build(status=JobStatus.FAILED)
    factory.finished_build()

    rows = run.json("jobs", "retry", "--error-code", "INSUFFICIENT_QUOTA", "--yes")

    assert [row["retried_job_id"] for row in rows] == [str(refused_by_quota.id)]


def test_a_filter_leaves_out_builds_with_a_later_one(run: CommandLine, factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, status=JobStatus.FAILED)
    factory.finished_build(workspace)

    result = run("jobs", "retry", "--all", "--yes")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "1 job left out" in result.stderr


def test_many_jobs_are_canceled_by_a_filter(run: CommandLine, factory: Factory) -> None:
    jobs = [factory.build(factory.any_workspace()).job_id for _ in range(2)]
    other = factory.running_build(factory.any_workspace(tags={"a": "b"}))

    rows = run.json("jobs", "cancel", "--queue", "builds", "--yes")

    assert {row["id"]: row["status"] for row in rows} == {str(job): "canceled" for job in jobs}
    assert factory.status(other.id) is JobStatus.RUNNING


def test_nothing_is_canceled_by_a_filter_unless_somebody_agrees(
    run: CommandLine, factory: Factory, nothing_changes: Unchanged
) -> None:
    factory.build(factory.any_workspace())

    with nothing_changes():
        result = run("jobs", "cancel", "--all")

    assert (result.exit_code, "the filters match 1 job; give --yes" in result.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["cancel", "retry", "wait"])
def test_filters_that_match_nothing_are_named(
    run: CommandLine, home: Organization, verb: str
) -> None:
    result = run("jobs", verb, "--all")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No job matches the filters.\n"


def test_a_refused_job_does_not_keep_others_from_being_canceled(
    run: CommandLine, factory: Factory
) -> None:
    ended, waiting = factory.finished_build(), factory.build(factory.any_workspace())

    result = run("jobs", "cancel", str(ended.id), str(waiting.job_id))

    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: job {ended.id}: Job has already completed!\n",
    )
    assert factory.status(waiting.job_id) is JobStatus.CANCELED


def test_jobs_and_filters_are_not_mixed(run: CommandLine) -> None:
    assert run("jobs", "cancel", "3f", "--all").exit_code == 2
    assert run("jobs", "cancel").exit_code == 2


def test_a_wait_says_how_jobs_ended(run: CommandLine, factory: Factory) -> None:
    good, bad = factory.finished_build(), factory.finished_build(status=JobStatus.FAILED)

    result = run("jobs", "wait", str(good.id), str(bad.id))

    assert (result.exit_code, result.stdout.splitlines()) == (
        1,
        [f"Job {good.id} is succeeded.", f"Job {bad.id} is failed: it broke"],
    )


def test_a_wait_tells_a_refusal_by_quota_from_other_failures(
    run: CommandLine, factory: Factory
) -> None:
    job = factory.finished_build(
        status=JobStatus.FAILED, error_code=JobErrorCode.INSUFFICIENT_QUOTA
    )

    assert run("jobs", "wait", str(job.id)).exit_code == 3


def test_a_wait_ends_after_its_timeout(run: CommandLine, factory: Factory) -> None:
    job_id = factory.build(factory.any_workspace()).job_id

    result = run("jobs", "wait", "--all", "--timeout", "0")

    assert (result.exit_code, result.stdout) == (124, f"Job {job_id} is still pending.\n")


@pytest.mark.parametrize("verb", ["cancel", "wait"])
def test_what_became_of_a_job_is_printed_as_yaml_on_request(
    run: CommandLine, factory: Factory, verb: str
) -> None:
    job_id = factory.build(factory.any_workspace()).job_id
    if verb == "wait":
        run("jobs", "cancel", str(job_id))

    printed = run("jobs", verb, str(job_id), "-o", "yaml").stdout

    assert "\nstatus: canceled\n" in printed
