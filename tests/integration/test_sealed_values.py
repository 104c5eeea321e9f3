"""Secrets in the database: sealed when they are stored, opened when they are used, turned over."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.catalog.audit import Actor
from db.catalog.deliveries import take_deliveries
from db.catalog.dryruns import existing_workspace, insert_dry_run
from db.catalog.orphans import orphan_workspace
from db.catalog.states import push_state
from db.catalog.webhooks import create_webhook, send_test
from db.engine import Database, open_database
from db.errors import SealedError
from db.jobs.archives import ArchiveCache
from db.jobs.builds import BuildInput, load_build, load_dry_run
from db.jobs.declarations import TemplateParameter
from db.jobs.mover import Mover
from db.jobs.results import BuildResult
from db.jobs.states import store_state
from db.jobs.variables import VariableValue
from db.reads.builds import find_parameters, find_shown_parameters
from db.reads.states import get_state, list_states
from db.schema.enums import ProvisionerType, Transition
from db.schema.tables import Template, Workspace, WorkspaceBuild
from db.sealing.keyring import NO_KEYS, Key, Keyring
from db.sealing.rekey import PLAIN, count_by_key, rekey
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.host.interrupt import Interrupt
from tests.harness.factory import Factory
from tests.harness.states import state_file, state_of

OLD, NEW = Keyring((Key(b"o" * 32),)), Keyring((Key(b"n" * 32),))
BOTH = Keyring((*NEW.keys, *OLD.keys))
SECRET = "hunter2-hunter2"
ROOT = Actor(username="root")
PASSWORD = TemplateParameter(name="password", required=True, sensitive=True)
SIZE = TemplateParameter(name="size", required=False, default="1")
TOKEN = VariableValue(name="token", value=SECRET, sensitive=True)


@contextmanager
def opened(url: str, keyring: Keyring) -> Iterator[Factory]:
    """A process with these keys."""
    database = open_database(url, pool_size=4, keyring=keyring)
    try:
        yield Factory(database=database)
    finally:
        database.dispose()


@pytest.fixture
def sealing(database_url: str) -> Iterator[Factory]:
    """A process with the old key."""
    with opened(database_url, OLD) as factory:
        yield factory


@pytest.fixture
def keyless(database_url: str) -> Iterator[Factory]:
    """A process without a key."""
    with opened(database_url, NO_KEYS) as factory:
        yield factory


@pytest.fixture
def workspace(sealing: Factory) -> Workspace:
    """A workspace with a secret parameter, whose template has a secret variable."""
    made = sealing.any_workspace(variables=[TOKEN])
    declare(sealing, made, PASSWORD, SIZE)
    return made


def declare(factory: Factory, workspace: Workspace, *parameters: TemplateParameter) -> None:
    with factory.database.begin() as session:
        template = session.get_one(Template, workspace.template_id)
    factory.declare(template, parameters=parameters)


def built(factory: Factory, workspace: Workspace, serial: int = 1) -> uuid.UUID:
    """Let a build leave a state with a secret in it; return the build's id."""
    job = factory.finished_build(
        workspace,
        parameters={"password": SECRET},
        result=BuildResult(state=state_of(serial, names=["a", SECRET])),
    )
    with factory.database.begin() as session:
        query = select(WorkspaceBuild.id).where(WorkspaceBuild.job_id == job.id)
        return session.scalars(query).one()


def everything(database: Database) -> str:
    """Return what an administrator of PostgreSQL can read, archives of templates left out."""
    queries = (
        "SELECT encode(coalesce(provisioner_state, ''), 'escape') FROM workspace_builds",
        "SELECT encode(provisioner_state, 'escape') FROM replaced_states",
        "SELECT value FROM workspace_build_parameters",
        "SELECT coalesce(value, '') FROM template_version_variables",
        "SELECT parameters::text FROM template_version_dry_runs",
        "SELECT input::text FROM provisioner_jobs",
        "SELECT secret FROM webhooks",
    )
    with database.begin() as session:
        return "\n".join(found for query in queries for found in session.scalars(text(query)))


def loaded(factory: Factory, load: Any = load_build) -> BuildInput:
    """Claim the job that waits, and read its input."""
    job = factory.claim()
    assert job is not None
    with factory.database.begin() as session:
        found: BuildInput = load(session, job.lease, archives=ArchiveCache())
        return found


def swap(database: Database, first: uuid.UUID, second: uuid.UUID) -> None:
    """Let two builds change their states, as somebody with access to the database can."""
    with database.begin() as session:
        session.execute(
            text("""
                UPDATE workspace_builds AS build
                SET provisioner_state = other.provisioner_state
                FROM workspace_builds AS other
                WHERE (build.id, other.id) IN ((:first, :second), (:second, :first))
            """),
            {"first": first, "second": second},
        )


def push(session: Session, workspace: Workspace) -> None:
    push_state(session, workspace_id=workspace.id, data=state_file(9), actor=ROOT)


def test_nobody_reads_secrets_in_the_database(sealing: Factory, workspace: Workspace) -> None:
    built(sealing, workspace)
    with sealing.database.begin() as session:
        push(session, workspace)
        hook = create_webhook(session, url="https://example.com", created_by=workspace.owner_id)
        insert_dry_run(session, existing_workspace(session, workspace.id))
    shown = everything(sealing.database)
    assert SECRET not in shown
    assert hook.secret not in shown
    assert "lineage" not in shown


def test_a_build_gets_what_was_sealed(sealing: Factory, workspace: Workspace) -> None:
    built(sealing, workspace)
    sealing.build(workspace)
    found = loaded(sealing)
    assert found.state == state_of(1, names=["a", SECRET]).data
    assert found.parameters == {"password": SECRET, "size": "1"}
    assert found.previous_parameters == found.parameters
    assert found.variables == {"token": SECRET}
    assert SECRET in found.sensitive_values


def test_a_dry_run_gets_what_was_sealed(sealing: Factory, workspace: Workspace) -> None:
    built(sealing, workspace)
    with sealing.database.begin() as session:
        insert_dry_run(session, existing_workspace(session, workspace.id))
    found = loaded(sealing, load_dry_run)
    assert found.parameters["password"] == SECRET
    assert found.state == state_of(1, names=["a", SECRET]).data


def test_values_that_are_no_secrets_stay_readable(sealing: Factory, workspace: Workspace) -> None:
    build = sealing.build(workspace, parameters={"password": SECRET, "size": "7"})
    query = text("SELECT value FROM workspace_build_parameters WHERE name = 'size'")
    with sealing.database.begin() as session:
        assert session.scalars(query).all() == ["7"]
        assert find_parameters(session, build.build_id) == {"password": SECRET, "size": "7"}


def test_a_secret_parameter_is_not_shown(sealing: Factory, workspace: Workspace) -> None:
    build = sealing.build(workspace, parameters={"password": SECRET, "size": "7"})
    with sealing.database.begin() as session:
        shown = find_shown_parameters(session, build.build_id)
    assert shown == {"password": "*redacted*", "size": "7"}


def test_a_state_is_listed_with_its_own_size(sealing: Factory, workspace: Workspace) -> None:
    built(sealing, workspace)
    with sealing.database.begin() as session:
        (found,) = list_states(session, workspace.id)
    assert found.size == len(state_of(1, names=["a", SECRET]).data)


LARGE_STATE = state_of(3, names=[f"name{number}" for number in range(10_000)])


def stored_size(factory: Factory) -> int:
    """Return the bytes that are stored for the state of the only build."""
    with factory.database.begin() as session:
        query = text("SELECT octet_length(provisioner_state) FROM workspace_builds")
        return int(session.execute(query).scalar_one())


def test_a_large_state_without_a_key_is_stored_compressed(keyless: Factory) -> None:
    """PostgreSQL does not see its text, and everybody gets it as it was."""
    workspace = keyless.any_workspace()
    keyless.finished_build(workspace, result=BuildResult(state=LARGE_STATE))
    with keyless.database.begin() as session:
        (listed,) = list_states(session, workspace.id)
        assert get_state(session, workspace.id).data == LARGE_STATE.data
    assert listed.size == len(LARGE_STATE.data) > 4 * stored_size(keyless)


def test_a_pushed_large_state_without_a_key_is_stored_compressed(keyless: Factory) -> None:
    workspace = keyless.any_workspace()
    keyless.finished_build(workspace, result=BuildResult(state=state_of(1)))
    with keyless.database.begin() as session:
        push_state(session, workspace_id=workspace.id, data=LARGE_STATE.data, actor=ROOT)
    assert stored_size(keyless) < len(LARGE_STATE.data) / 4
    keyless.build(workspace)
    assert loaded(keyless).state == LARGE_STATE.data


def test_a_compressed_state_is_turned_over_as_it_was(database_url: str, keyless: Factory) -> None:
    workspace = keyless.any_workspace()
    keyless.finished_build(workspace, result=BuildResult(state=LARGE_STATE))
    with opened(database_url, NEW) as factory:
        assert rekey(factory.database, NEW).turned["states of builds"] == 1
        with factory.database.begin() as session:
            assert get_state(session, workspace.id).data == LARGE_STATE.data
            assert list_states(session, workspace.id)[0].size == len(LARGE_STATE.data)


def test_a_state_does_not_open_for_another_build(sealing: Factory, workspace: Workspace) -> None:
    first, second = built(sealing, workspace, 1), built(sealing, workspace, 2)
    swap(sealing.database, first, second)
    with sealing.database.begin() as session, pytest.raises(SealedError, match="another row"):
        get_state(session, workspace.id, build_number=1)


def test_a_state_does_not_open_for_another_workspace(
    sealing: Factory, workspace: Workspace
) -> None:
    other = sealing.namesake(workspace, name="other")
    swap(sealing.database, built(sealing, workspace), built(sealing, other))
    with sealing.database.begin() as session, pytest.raises(SealedError, match="another place"):
        get_state(session, workspace.id)


def test_a_worker_without_the_key_fails_the_build_by_a_sentence(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    sealing.build(workspace, Transition.STOP)
    with pytest.raises(SealedError, match=f"is sealed with key {OLD.keys[0].name}, which"):
        loaded(keyless)


def test_a_build_without_its_key_fails_and_loses_nothing(
    sealing: Factory, keyless: Factory, workspace: Workspace, tmp_path: Path
) -> None:
    built(sealing, workspace)
    build = sealing.build(workspace, Transition.STOP)
    job = keyless.claim()
    assert job is not None
    runner = Runner(
        mover=Mover(database=keyless.database),
        engines={ProvisionerType.ECHO: EchoEngine()},
        settings=BuildSettings(work_root=tmp_path, host_environment={}),
    )
    runner.run(job, Interrupt())
    row = sealing.job(build.job_id)
    assert row.failure_reason == "sealed"
    assert row.error_code is None
    assert f"is sealed with key {OLD.keys[0].name}" in (row.error or "")
    with sealing.database.begin() as session:
        newest = get_state(session, workspace.id)
    assert (newest.build_number, newest.data) == (2, state_of(1, names=["a", SECRET]).data)


def test_a_process_without_the_key_enqueues_a_stop(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    keyless.build(workspace, Transition.STOP)
    found = loaded(sealing)
    assert found.parameters["password"] == SECRET
    assert found.state == state_of(1, names=["a", SECRET]).data


def test_a_process_without_the_key_starts_with_the_sealed_value(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    keyless.build(workspace)
    assert loaded(sealing).parameters["password"] == SECRET


def test_a_process_without_the_key_does_not_compare_a_sealed_value(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    with sealing.database.begin() as session:
        session.execute(text("UPDATE template_version_parameters SET mutable = false"))
    with pytest.raises(SealedError, match='stored value of parameter "password" is sealed'):
        keyless.build(workspace, parameters={"password": "another"})


def test_a_push_gets_over_a_lost_key_and_keeps_the_sealed_state(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    with keyless.database.begin() as session:
        push(session, workspace)
        assert get_state(session, workspace.id).data == state_file(9)
    with sealing.database.begin() as session:
        kept = get_state(session, workspace.id, build_number=1)
    assert kept.data == state_of(1, names=["a", SECRET]).data


def test_a_workspace_whose_key_is_lost_can_be_deleted_as_an_orphan(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    built(sealing, workspace)
    with keyless.database.begin() as session:
        orphaned = orphan_workspace(session, workspace_id=workspace.id, actor=ROOT)
        assert orphaned.build is not None
        (line,) = session.scalars(
            text("SELECT output FROM provisioner_job_logs WHERE job_id = :id"),
            {"id": orphaned.build.job_id},
        ).all()
    assert f"sealed with key {OLD.keys[0].name}" in line


def test_a_webhook_whose_key_is_lost_says_so_and_stops_no_other(
    sealing: Factory, keyless: Factory, workspace: Workspace
) -> None:
    with sealing.database.begin() as session:
        hook = create_webhook(session, url="https://example.com", created_by=workspace.owner_id)
        send_test(session, hook.id)
    with keyless.database.begin() as session:
        (delivery,) = take_deliveries(session, limit=5)
    assert delivery.secret is None
    assert f"the secret of webhook {hook.id} is sealed with key" in delivery.problem


def test_rekey_seals_what_was_stored_before_there_was_a_key(
    keyless: Factory, database_url: str
) -> None:
    plain = keyless.any_workspace(variables=[TOKEN])
    declare(keyless, plain, PASSWORD)
    built(keyless, plain)
    with opened(database_url, OLD) as sealing:
        assert rekey(sealing.database, OLD).is_complete
        assert SECRET not in everything(sealing.database)
        assert PLAIN not in count_by_key(sealing.database)
        sealing.build(plain)
        assert loaded(sealing).parameters == {"password": SECRET}


def test_rekey_turns_everything_over_to_the_first_key(
    sealing: Factory, workspace: Workspace, database_url: str
) -> None:
    built(sealing, workspace)
    with sealing.database.begin() as session:
        push(session, workspace)
        create_webhook(session, url="https://example.com", created_by=workspace.owner_id)
        insert_dry_run(session, existing_workspace(session, workspace.id))
    before = count_by_key(sealing.database)
    with opened(database_url, BOTH) as both:
        done = rekey(both.database, BOTH)
        assert (done.is_complete, done.failed) == (True, 0)
    with opened(database_url, NEW) as turned:
        assert count_by_key(turned.database) == {NEW.keys[0].name: before[OLD.keys[0].name]}
        assert loaded(turned, load_dry_run).state == state_file(9)


def test_rekey_leaves_what_it_cannot_open_and_says_so(
    sealing: Factory, workspace: Workspace, database_url: str
) -> None:
    built(sealing, workspace)
    before = everything(sealing.database)
    with opened(database_url, NEW) as other:
        done = rekey(other.database, NEW)
    assert done.failed == 3  # a state, a parameter and a variable
    assert all(f"sealed with key {OLD.keys[0].name}" in problem for problem in done.problems)
    assert everything(sealing.database) == before


def test_rekey_loses_no_checkpoint_of_a_build_that_runs(
    sealing: Factory, workspace: Workspace, database_url: str
) -> None:
    job = sealing.running_build(workspace, parameters={"password": SECRET})
    last = 30

    def checkpoints() -> None:
        for serial in range(1, last + 1):
            with sealing.database.begin() as session:
                assert store_state(session, job.lease, state=state_of(serial))

    writer = threading.Thread(target=checkpoints)
    writer.start()
    with opened(database_url, BOTH) as both:
        while writer.is_alive():
            rekey(both.database, BOTH)
        writer.join()
        assert rekey(both.database, BOTH).is_complete
    with opened(database_url, NEW) as turned, turned.database.begin() as session:
        assert get_state(session, workspace.id).serial == last
