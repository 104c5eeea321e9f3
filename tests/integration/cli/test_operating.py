"""Queues and workers that an operator pauses and drains from the command line."""

from __future__ import annotations

from db.engine import Database
from db.schema.tables import Organization, User, WorkspaceBuild
from tests.harness.factory import Factory
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, age_workers, refused


def test_a_queue_is_paused_and_resumed(run: CommandLine) -> None:
    assert run("queue", "pause", "builds", "--reason", "upgrade", "--as", "").exit_code == 0
    (row,) = run.json("queue")
    assert (row["queue"], row["pause_reason"]) == ("builds", "upgrade")
    assert run("queue", "resume", "builds").stdout == "The queue builds is resumed.\n"
    assert run.json("queue") == []
    assert [entry["action"] for entry in run.json("audit", "list")] == ["resume", "pause"]


def test_a_queue_is_named_by_its_tags(
    run: CommandLine, factory: Factory, database: Database
) -> None:
    factory.build(factory.any_workspace(tags={"gpu": "yes"}))
    assert run("queue", "pause", "--tag", "gpu=yes").exit_code == 0
    (row,) = run.json("queue")
    assert (row["tags"]["gpu"], row["paused_at"] is None) == ("yes", False)


def test_a_queue_has_a_name_or_tags(run: CommandLine) -> None:
    assert run("queue", "pause").exit_code == 2


def test_a_worker_is_drained_and_resumed(run: CommandLine, database: Database) -> None:
    sign_on(database, "hand")
    assert run("workers", "drain", "hand").stdout == (
        "The worker hand takes no more builds; 0 run on it.\n"
    )
    assert [row["status"] for row in run.json("workers")] == ["draining"]
    refused(run("workers", "drain", "hand"), "draining already")
    assert run("workers", "resume", "hand").exit_code == 0
    assert [row["status"] for row in run.json("workers")] == ["idle"]


def test_a_worker_that_is_gone_is_forgotten(run: CommandLine, database: Database) -> None:
    sign_on(database, "lost")
    age_workers(database)
    assert run("workers", "forget", "lost").exit_code == 0
    assert run.json("workers") == []
    refused(run("workers", "forget", "lost"), "there is no worker 'lost'")


def test_the_quotas_of_all_members_are_listed(
    run: CommandLine, factory: Factory, home: Organization, alice: User, database: Database
) -> None:
    factory.user(organization=home, username="bob")
    template = factory.template(organization=home, created_by=alice)
    build = factory.build(factory.workspace(owner=alice, template=template))
    with database.begin() as session:
        session.get_one(WorkspaceBuild, build.build_id).daily_cost = 12

    assert run.json("quota", "show", "--all") == [
        {"user": "alice", "budget": 10, "credits_consumed": 12, "left": 0},
        {"user": "bob", "budget": 10, "credits_consumed": 0, "left": 10},
    ]
    assert run("quota", "show").exit_code == 2
