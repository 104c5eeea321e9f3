"""The directions of imports, and who may do what, read from the sources.

Each test lists all offenders at once.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.harness.sources import LAYERS, ROOT, modules, nodes, trees

# The first starts the launcher, a process of its own. That starts all others by the second, and
# those of sandboxes by the third.
STARTS_PROCESSES = {
    "provisioner/host/ownlauncher.py",
    "provisioner/host/program.py",
    "provisioner/host/sandbox/guard.py",
}
# Public names, for callers outside of this project alone.
FACADES = {"db.enums", "db.models", "provisioner.failures"}
INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"
NAMES_INSUFFICIENT_QUOTA = {
    "db/schema/enums.py",  # defines it, and the predicate that callers ask
    "db/schema/migrations/versions/0001_foundation.py",  # the codes that the column takes
    "provisioner/build/endings.py",  # sets it
}
READS_INSUFFICIENT_QUOTA = ("chattool/", "cli/", "worker/demo/", "worker/metrics/")
# mypy sees no import by name: the command table is the only one.
IMPORTS_BY_NAME = {"cli/lazy.py"}
# Imports that are made when they are used: of large packages that most processes do not need.
IMPORTS_LATE = {
    # The MCP server: 24 MB, and half a second of processor time.
    ("api/mcp/door.py", "api.mcp.sessions"),
    ("db/engine.py", "sqlalchemy.orm"),
    ("db/engine.py", "sqlalchemy.orm.sessionmaker"),
    ("db/parameters/pattern.py", "pydantic_core"),
    ("provisioner/engines/terraform/release/signature.py", "pysequoia"),
    ("worker/broker/ringer.py", "celery.app.amqp"),
    ("worker/broker/ringer.py", "celery.utils.deprecated"),
    ("worker/broker/ringer.py", "kombu.transport.redis"),
    ("worker/broker/ringer.py", "worker.broker.client"),
    ("worker/enqueue.py", "opentelemetry"),
    ("worker/enqueue.py", "opentelemetry.trace"),
    # The client of Redis: a sixth of a second.
    ("worker/embedded/redis.py", "redis"),
    ("worker/embedded/redis.py", "redis.Redis"),
    ("worker/embedded/redis.py", "redis.backoff"),
    ("worker/embedded/redis.py", "redis.backoff.NoBackoff"),
    ("worker/embedded/redis.py", "redis.exceptions"),
    ("worker/embedded/redis.py", "redis.exceptions.ConnectionError"),
    ("worker/embedded/redis.py", "redis.exceptions.RedisError"),
    ("worker/embedded/redis.py", "redis.retry"),
    ("worker/embedded/redis.py", "redis.retry.Retry"),
    ("worker/process/opening.py", "db.schema.migrate"),  # Alembic
    ("worker/process/telemetry.py", "worker.broker.errors"),
    ("cli/main.py", "importlib.metadata"),  # the commands of other packages
    ("cli/main.py", "importlib.metadata.entry_points"),
    # The models and the log of the daemon, for a command that only lists.
    ("api/reads/finding.py", "db.catalog.people"),
    ("cli/opening.py", "worker.process.telemetry"),
    ("cli/opening.py", "worker.settings"),  # the models of all settings
    ("worker/tracing/traces.py", "worker.tracing.spans"),  # OpenTelemetry, an extra
    ("db/sealing/envelope.py", "cryptography.exceptions"),  # OpenSSL, 5 MB
    ("db/sealing/envelope.py", "cryptography.exceptions.InvalidTag"),
    ("db/sealing/envelope.py", "cryptography.hazmat.primitives.ciphers.aead"),
    ("db/sealing/envelope.py", "cryptography.hazmat.primitives.ciphers.aead.AESGCM"),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path.relative_to(ROOT).as_posix() for path in modules()}


@functools.cache
def imports(tree: ast.AST) -> Sequence[str]:
    """Return what is imported: modules, and ``module.name`` for each name taken from one."""
    return tuple(_imports(tree))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importing(is_wrong: Callable[[str, str], bool]) -> list[str]:
    """Return the imports that are wrong, by the path of the module and the imported name."""
    return [
        f"{path} imports {name}"
        for path, tree in trees().items()
        for name in imports(tree)
        if is_wrong(path, name)
    ]


def package_of(name: str) -> str:
    return name.partition(".")[0]


def room_of(name: str) -> str:
    """Return the folder that a module stands in."""
    return NAMES[name].rpartition("/")[0]


def docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of the nodes that are docstrings."""
    found = set()
    for node in nodes(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield every name and every string of the code, docstrings left out."""
    skipped = docstrings(tree)
    for node in nodes(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


def edges(name: str) -> set[str]:
    return {found for found in imports(trees()[NAMES[name]]) if found in NAMES and found != name}


def find_cycle(
    graph: Mapping[str, set[str]], name: str, path: tuple[str, ...], done: set[str]
) -> tuple[str, ...] | None:
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done:
        return None
    for target in sorted(graph[name]):
        if cycle := find_cycle(graph, target, (*path, name), done):
            return cycle
    done.add(name)
    return None


def first_cycle(graph: Mapping[str, set[str]]) -> str | None:
    done: set[str] = set()
    for start in graph:
        if cycle := find_cycle(graph, start, (), done):
            return " -> ".join(cycle)
    return None


def loaded_with(name: str) -> set[str]:
    """Return our modules that importing one loads, packages included."""
    loaded: set[str] = set()
    waiting = {name}
    while waiting:
        found = waiting.pop()
        loaded.add(found)
        at_the_top = [
            node for node in trees()[NAMES[found]].body if not isinstance(node, ast.FunctionDef)
        ]
        direct = {one for node in at_the_top if not is_for_types(node) for one in imports(node)}
        packages = {found.rpartition(".")[0]}
        waiting |= ((direct | packages) & NAMES.keys()) - loaded
    return loaded


def is_for_types(node: ast.stmt) -> bool:
    """Return whether a statement runs for mypy only."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in identifiers(node.test)


# A caller's process pays for each of them.
def test_enqueueing_loads_at_most_40_of_our_modules() -> None:
    loaded = loaded_with("worker.enqueue")
    assert len(loaded) <= 40, sorted(loaded)


def test_the_api_starts_without_the_mcp_server() -> None:
    """The libraries of that need a fifth of its memory."""
    loaded = loaded_with("cli.serve")
    assert "api.mcp.door" in loaded
    assert "api.mcp.serving" not in loaded


def test_only_the_program_that_reads_hcl_loads_its_grammar() -> None:
    loading = {path for path, tree in trees().items() if "pygohcl" in imports(tree)}
    assert loading == {"provisioner/engines/terraform/hclreader.py"}
    assert "provisioner.engines.terraform.hclreader" not in loaded_with("worker.app")


def test_packages_import_one_way() -> None:
    offenders = [
        f"{path} imports {name}"
        for path, tree in trees().items()
        for name in imports(tree)
        if package_of(name) in LAYERS
        and LAYERS.index(package_of(name)) > LAYERS.index(path.partition("/")[0])
    ]
    assert offenders == []


def test_no_module_imports_itself_through_others() -> None:
    assert first_cycle({name: edges(name) for name in NAMES}) is None


def test_no_room_imports_itself_through_others() -> None:
    rooms: dict[str, set[str]] = {}
    for name in NAMES:
        targets = {room_of(target) for target in edges(name)} - {room_of(name)}
        rooms.setdefault(room_of(name), set()).update(targets)
    # A package's own folder holds its public names, which lead into its rooms and out of them.
    inner = {room: {to for to in rooms[room] if "/" in to} for room in rooms if "/" in room}
    assert first_cycle(inner) is None


def test_every_room_says_what_belongs_there() -> None:
    silent = [
        path
        for path, tree in trees().items()
        if path.endswith("/__init__.py")
        and "/migrations" not in path
        and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_public_names_are_for_callers_outside() -> None:
    assert importing(lambda _path, name: name in FACADES) == []


def test_only_the_worker_knows_celery() -> None:
    celery = {"celery", "kombu", "billiard", "redis"}
    offenders = importing(
        lambda path, name: package_of(name) in celery and not path.startswith("worker/")
    )
    assert offenders == []


def test_enqueueing_and_the_broker_import_db_alone_of_ours() -> None:
    allowed = ("db.", "worker.broker.")
    offenders = importing(
        lambda path, name: (
            (path == "worker/enqueue.py" or path.startswith("worker/broker/"))
            and package_of(name) in LAYERS
            and not f"{name}.".startswith(allowed)
        )
    )
    assert offenders == []


def test_only_the_broker_s_room_knows_kombu_and_redis() -> None:
    rooms = ("worker/broker/", "worker/embedded/")
    inner = {"kombu", "redis"}
    offenders = importing(
        lambda path, name: package_of(name) in inner and not path.startswith(rooms)
    )
    assert offenders == []


# The worker has processes of its own: the embedded servers, and the tree of `provisionerd up`.
def test_one_module_starts_the_processes_of_builds() -> None:
    offenders = [
        f"{path}: {sorted(starting)}"
        for path, tree in trees().items()
        if not path.startswith(("worker/", "cli/")) and path not in STARTS_PROCESSES
        if (starting := process_starts(tree))
    ]
    assert offenders == []


def process_starts(tree: ast.AST) -> set[str]:
    """Return the names by which a module starts processes."""
    called = {
        node.attr
        for node in nodes(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    starting = called & {"fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "system"}
    starting |= {name for name in called if name.startswith(("exec", "spawn"))}
    return starting | ({package_of(name) for name in imports(tree)} & {"subprocess", "pty"})


def test_provisioner_and_chattool_write_no_sql() -> None:
    sql = {"sqlalchemy.text", "sqlalchemy.insert", "sqlalchemy.update"}
    offenders = importing(
        lambda path, name: (
            path.startswith(("provisioner/", "chattool/"))
            and (name in sql or name.startswith(("psycopg", "db.schema.tables.jobs")))
        )
    )
    assert offenders == []


def test_imports_stand_at_the_top() -> None:
    late = {
        (path, name)
        for path, tree in trees().items()
        for function in nodes(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imports(function)
        if name in NAMES or package_of(name) not in LAYERS
    }
    assert late == IMPORTS_LATE


def test_only_the_command_table_imports_by_name() -> None:
    importing = {path for path, tree in trees().items() if "import_module" in identifiers(tree)}
    assert importing == IMPORTS_BY_NAME


def test_the_code_of_a_quota_refusal_is_named_at_known_places_alone() -> None:
    naming = {
        path
        for path, tree in trees().items()
        if not path.startswith(READS_INSUFFICIENT_QUOTA)
        and any(INSUFFICIENT_QUOTA in found for found in identifiers(tree))
    }
    assert naming == NAMES_INSUFFICIENT_QUOTA


def test_one_call_gives_a_failure_its_code() -> None:
    callers = [
        (path, node.args[0].attr)
        for path, tree in trees().items()
        for node in nodes(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failed_workspace_build_code"
        and isinstance(node.args[0], ast.Attribute)
    ]
    assert callers == [("provisioner/build/endings.py", "INSUFFICIENT_QUOTA")]


def test_one_place_raises_a_quota_refusal() -> None:
    raised = [
        (path, function.name)
        for path, tree in trees().items()
        for function in nodes(tree)
        if isinstance(function, ast.FunctionDef)
        for node in nodes(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "QuotaRefusedError"
    ]
    assert raised == [("provisioner/build/steps.py", "commit")]
