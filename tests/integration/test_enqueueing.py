"""``worker.enqueue`` is a guest in its caller's process: no effects, no waiting, no surprises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.catalog.builds import EnqueuedBuild
from db.engine import DatabaseError
from db.errors import InvalidError
from db.schema.enums import JobStatus, Transition
from db.schema.tables import Workspace
from tests.harness.factory import Factory
from tests.harness.silence import SilentServer, silent_broker
from worker.broker.address import find_redis_url
from worker.broker.client import BrokerClient
from worker.embedded import Embedded
from worker.enqueue import enqueue_build

DEADLINE_S = 20.0
OURS = "('db', 'quota', 'provisioner', 'worker', 'chattool', 'cli')"
ENQUEUE = """
import os, uuid
from db.engine import open_database
from db.enums import Transition
from worker.enqueue import enqueue_build
database = open_database(os.environ["URL"])
for workspace in os.environ["WORKSPACES"].split():
    with database.begin() as session:
        build = enqueue_build(
            session, workspace_id=uuid.UUID(workspace), transition=Transition.START
        )
    print(build.job_id, build.queue)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter without settings of ours but those given."""
    inherited = {key: value for key, value in os.environ.items() if "PROVISIONERD" not in key}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def run_enqueue(
    workspaces: Sequence[Workspace], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Enqueue a build of each workspace in a fresh interpreter."""
    ids = " ".join(str(workspace.id) for workspace in workspaces)
    return run(ENQUEUE, WORKSPACES=ids, **environment)


def enqueue(session: Session, workspace: Workspace, **arguments: object) -> EnqueuedBuild:
    return enqueue_build(
        session,
        workspace_id=workspace.id,
        transition=Transition.START,
        **arguments,  # type: ignore[arg-type]
    )


@pytest.fixture
def queue_tags() -> dict[str, str]:
    """Tags whose queue no other test uses: all of them share a Redis."""
    return {"test": uuid.uuid4().hex}


@pytest.fixture
def redis_url(embedded: Embedded) -> str:
    assert embedded.redis_url is not None
    return embedded.redis_url


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServer]:
    with silent_broker(monkeypatch) as server:
        yield server


def test_importing_leaves_celery_as_it_was() -> None:
    said = run("""
import celery, celery._state as state
from celery import Celery
theirs = Celery("theirs")
before = (celery.current_app._get_current_object(), state.default_app, set(state._apps))
import worker.enqueue
after = (celery.current_app._get_current_object(), state.default_app, set(state._apps))
print(before == after and after[0] is theirs)
""")
    assert said.stdout.strip() == "True"


def test_ringing_leaves_the_current_application_of_celery_as_it_was(redis_url: str) -> None:
    said = run(
        """
import celery, os
from celery import Celery
from worker.broker.doorbell import ring_at
theirs = Celery("theirs")
rung = ring_at(os.environ["BROKER"])("none")
print(rung, celery.current_app._get_current_object() is theirs)
""",
        BROKER=redis_url,
    )
    assert said.stdout.split() == ["True", "True"]


def test_importing_loads_no_module_that_runs_builds() -> None:
    said = run(f"""
import sys, worker.enqueue
ours = [name for name in sys.modules if name.partition(".")[0] in {OURS}]
print([name for name in ours if name.startswith(("provisioner", "quota", "worker.app"))])
""")
    assert said.stdout.strip() == "[]"


def test_importing_loads_no_driver_and_no_client_of_the_broker() -> None:
    said = run("""
import sys, worker.enqueue
large = {"celery", "kombu", "redis", "psycopg", "pydantic_core", "sqlalchemy.dialects.postgresql"}
print(sorted(large & set(sys.modules)))
""")
    assert said.stdout.strip() == "[]"


def test_importing_registers_no_metric() -> None:
    said = run("""
import prometheus_client
before = set(prometheus_client.REGISTRY._names_to_collectors)
import worker.enqueue
print(set(prometheus_client.REGISTRY._names_to_collectors) == before)
""")
    assert said.stdout.strip() == "True"


def test_an_enqueue_returns_although_redis_never_answers(
    factory: Factory, silent: SilentServer
) -> None:
    workspace = factory.any_workspace()

    def commit() -> uuid.UUID:
        with factory.database.begin() as session:
            return enqueue(session, workspace, redis_url=silent.redis_url).job_id

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(commit).result(DEADLINE_S)
    assert factory.status(job) is JobStatus.PENDING


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"workspace_id": "abc"}, "workspace_id must be a UUID, not 'abc'"),
        ({"workspace_id": None}, "workspace_id must be a UUID, not of the type NoneType"),
        ({"transition": "launch"}, "transition must be one of start, stop, delete"),
        ({"initiator_id": 5}, "initiator_id must be a UUID"),
        ({"template_version_id": b"x"}, "template_version_id must be a UUID"),
        ({"parameters": ["a"]}, "parameters must be a mapping"),
        ({"parameters": {"size": 3}}, "parameters must be a mapping from texts to texts"),
        ({"parameters": {"size": "\0"}}, "null byte"),
        ({"parameters": {"size": "\udcff"}}, "not valid Unicode text"),
        ({"preset": 3}, "preset must be a UUID or a name"),
        ({"preset": "\0"}, "null byte"),
        ({"reason": "boredom"}, "reason must be one of"),
        ({"trace_metadata": "x"}, "trace_metadata must be a dict"),
        ({"trace_metadata": {"a": object()}}, "trace_metadata cannot be written as JSON"),
        ({"trace_metadata": {"a": "\0"}}, "trace_metadata contains a null byte"),
    ],
)
def test_a_wrong_argument_leaves_the_transaction_as_it_is(
    factory: Factory, arguments: dict[str, object], sentence: str
) -> None:
    workspace = factory.any_workspace()
    request = {"workspace_id": workspace.id, "transition": Transition.START, **arguments}
    with factory.database.begin() as session:
        with pytest.raises(InvalidError, match=re.escape(sentence)):
            enqueue_build(session, **request)  # type: ignore[arg-type]
        assert session.scalar(text("SELECT 1")) == 1


def test_ids_and_choices_may_be_texts(factory: Factory, queue_tags: dict[str, str]) -> None:
    workspace = factory.any_workspace(tags=queue_tags)
    with factory.database.begin() as session:
        build = enqueue_build(
            session,
            workspace_id=str(workspace.id),  # type: ignore[arg-type]
            transition="start",  # type: ignore[arg-type]
        )
    assert build.workspace_id == workspace.id


def test_a_ring_that_raises_does_not_fail_a_committed_build(factory: Factory) -> None:
    def ring(_queue: str) -> bool:
        raise RuntimeError("no bell")

    with factory.database.begin() as session:
        build = enqueue(session, factory.any_workspace(), ring=ring)
    assert factory.status(build.job_id) is JobStatus.PENDING


def test_a_build_that_is_rolled_back_rings_nothing(factory: Factory) -> None:
    rung: list[str] = []
    workspace = factory.any_workspace()

    def ring(queue: str) -> bool:
        rung.append(queue)
        return True

    with factory.database.sessions() as session:
        enqueue(session, workspace, ring=ring)
        session.rollback()
        session.commit()
    assert rung == []


def test_the_doorbell_of_a_short_script_is_not_lost(
    factory: Factory, database_url: str, redis_url: str, queue_tags: dict[str, str]
) -> None:
    workspaces = [factory.any_workspace(tags=queue_tags) for _ in range(2)]
    said = run_enqueue(
        workspaces,
        URL=database_url,
        PROVISIONERD_REDIS_URL=redis_url,
    )
    assert BrokerClient(redis_url).count(said.stdout.split()[-1]) == 2


def test_without_a_redis_builds_are_accepted_with_one_warning(
    factory: Factory, database_url: str, tmp_path: Path
) -> None:
    workspaces = [factory.any_workspace() for _ in range(2)]
    said = run_enqueue(
        workspaces,
        URL=database_url,
        PROVISIONERD_DATA_DIR=str(tmp_path / "data"),
    )
    statuses = [factory.status(uuid.UUID(each.split()[0])) for each in said.stdout.splitlines()]
    assert statuses == [JobStatus.PENDING] * 2
    assert said.stderr.count("sweeper") == len(said.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_settings_of_workers_and_foreign_variables_do_not_matter(
    factory: Factory, database_url: str, redis_url: str
) -> None:
    workspace = factory.any_workspace()
    said = run_enqueue(
        [workspace],
        URL=database_url,
        PROVISIONERD_REDIS_URL=redis_url,
        PROVISIONERD_URL="https://provisioner.example.com",
        PROVISIONERD_CONCURRENCY="many",
        PROVISIONERD_TRACES="perhaps",
        PROVISIONERD_DATABASE_URL="mysql://elsewhere",
    )
    assert said.stderr == ""


def test_variables_of_the_caller_s_celery_do_not_matter(
    factory: Factory, database_url: str, redis_url: str, queue_tags: dict[str, str]
) -> None:
    workspace = factory.any_workspace(tags=queue_tags)
    elsewhere = "redis://127.0.0.1:1/0"
    theirs = {
        "CELERY_BROKER_URL": elsewhere,
        "CELERY_BROKER_WRITE_URL": elsewhere,
        "CELERY_LOADER": "no.such:Loader",
        "CELERY_CONFIG_MODULE": "no_such_module",
    }
    said = run_enqueue([workspace], URL=database_url, PROVISIONERD_REDIS_URL=redis_url, **theirs)
    assert BrokerClient(redis_url).count(said.stdout.split()[-1]) == 1


def test_the_caller_s_signal_receivers_hear_of_no_doorbell(redis_url: str) -> None:
    said = run(
        """
import os
from celery.signals import after_task_publish, before_task_publish
from worker.broker.doorbell import ring_at
heard = []
for signal in (before_task_publish, after_task_publish):
    signal.connect(lambda **_: heard.append(1), weak=False)
print(ring_at(os.environ["BROKER"])("none"), heard)
""",
        BROKER=redis_url,
    )
    assert said.stdout.strip() == "True []"


@pytest.mark.parametrize("moment", ["True", "loading.wait(20)"], ids=["at once", "while it loads"])
def test_a_forked_child_rings_by_a_thread_of_its_own(redis_url: str, moment: str) -> None:
    queue = f"fork-{uuid.uuid4().hex}"
    run(
        f"""
import os, sys, threading
from worker.broker.ringer import ring_later
loading = threading.Event()
class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "kombu":
            loading.set()
sys.meta_path.insert(0, Finder)
ring = ring_later(os.environ["BROKER"])
ring(os.environ["QUEUE"])
assert {moment}
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    ring(os.environ["QUEUE"])
sys.exit()
""",
        BROKER=redis_url,
        QUEUE=queue,
    )
    assert BrokerClient(redis_url).count(queue) == 2


def test_the_first_doorbell_loads_no_module_at_which_a_fork_could_catch_it(
    redis_url: str,
) -> None:
    said = run(
        """
import os, sys
from worker.broker.ringer import _load_client
client = _load_client()(os.environ["BROKER"])
loaded = set(sys.modules)
client.publish("none")
print(sorted(set(sys.modules) - loaded))
""",
        BROKER=redis_url,
    )
    assert said.stdout.strip() == "[]"


def test_a_build_is_enqueued_while_another_thread_loads_opentelemetry(
    factory: Factory, database_url: str
) -> None:
    run(
        """
import os, sys, threading, uuid
from db.engine import open_database
from db.enums import Transition
from worker.enqueue import enqueue_build
loading, ended = threading.Event(), threading.Event()
class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "opentelemetry.trace.span":
            loading.set()
            ended.wait(0.5)
sys.meta_path.insert(0, Finder)
loader = threading.Thread(target=__import__, args=("opentelemetry.trace",))
with open_database(os.environ["URL"]).begin() as session:
    session.connection()
    loader.start()
    assert loading.wait(20)
    workspace_id = uuid.UUID(os.environ["WORKSPACE"])
    try:
        enqueue_build(session, workspace_id=workspace_id, transition=Transition.START)
    finally:
        ended.set()
        loader.join(20)
""",
        URL=database_url,
        WORKSPACE=str(factory.any_workspace().id),
        PROVISIONERD_REDIS_URL="redis://127.0.0.1:1/0",
    )


def test_a_redis_that_runs_in_the_data_directory_is_found(redis_url: str) -> None:
    socket = Path(redis_url.removeprefix("unix://").partition("?")[0])
    data_dir = next(folder for folder in socket.parents if folder.name == "embedded").parent
    assert find_redis_url({"PROVISIONERD_DATA_DIR": str(data_dir)}) == redis_url


def test_the_row_carries_the_caller_s_own_span(factory: Factory) -> None:
    workspace = factory.any_workspace()
    tracer = TracerProvider().get_tracer("api")
    with tracer.start_as_current_span("POST /builds") as span, factory.database.begin() as session:
        build = enqueue(session, workspace, ring=lambda _queue: True)
    carrier = factory.job(build.job_id).trace_metadata
    assert carrier is not None
    assert carrier["traceparent"].startswith(f"00-{span.get_span_context().trace_id:032x}-")


def test_a_schema_without_a_migration_that_is_needed_is_told_in_a_sentence(
    factory: Factory,
) -> None:
    workspace = factory.any_workspace()
    with factory.database.begin() as session:
        session.execute(text("ALTER TABLE provisioner_jobs RENAME COLUMN fair_rank TO rank"))
    with (
        pytest.raises(DatabaseError, match=r"column .*fair_rank.* does not exist"),
        factory.database.begin() as session,
    ):
        enqueue(session, workspace)
