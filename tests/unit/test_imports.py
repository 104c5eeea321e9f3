"""The directions of imports, and who may do what, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS: Mapping[str, frozenset[str]] = {
    "db": frozenset({"db"}),
    "quota": frozenset({"db", "quota"}),
    "provisioner": frozenset({"db", "quota", "provisioner"}),
    "worker": frozenset({"db", "quota", "provisioner", "worker"}),
    "chattool": frozenset({"db", "quota", "provisioner", "worker", "chattool"}),
}
# The first starts the second, which is a process of its own and starts all others in its place.
STARTS_PROCESSES = {"provisioner/process.py", "provisioner/launcher.py"}
INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"
NAMES_INSUFFICIENT_QUOTA = {
    "db/enums.py",  # defines it, and the predicate that callers ask
    "db/migrations/versions/0001_foundation.py",  # the codes that the column takes
    "provisioner/endings.py",  # sets it
}
READS_INSUFFICIENT_QUOTA = ("chattool/", "worker/commands/", "worker/demo/", "worker/metrics.py")


def modules() -> Iterator[Path]:
    for package in LAYERS:
        yield from sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in modules()}
NAMES = {name_of(path): path.relative_to(ROOT).as_posix() for path in modules()}
each_module = pytest.mark.parametrize("path", TREES)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what is imported: modules, and ``module.name`` for each name taken from one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(name: str) -> str:
    return name.partition(".")[0]


def docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of the nodes that are docstrings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield every name and every string of the code, docstrings left out."""
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


@each_module
def test_imports_point_one_way(path: str) -> None:
    allowed = LAYERS[package_of(path.replace("/", "."))]
    ours = {package_of(name) for name in imports(TREES[path])} & LAYERS.keys()
    assert ours <= allowed


@each_module
def test_only_the_worker_knows_celery(path: str) -> None:
    known = {package_of(name) for name in imports(TREES[path])}
    assert path.startswith("worker/") or not known & {"celery", "kombu", "billiard", "redis"}


# The worker has processes of its own: the embedded servers, and the tree of `provisionerd up`.
@pytest.mark.parametrize("path", [path for path in TREES if not path.startswith("worker/")])
def test_one_module_starts_the_processes_of_builds(path: str) -> None:
    called = {
        node.attr
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    starting = called & {"fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "system"}
    starting |= {name for name in called if name.startswith(("exec", "spawn"))}
    starting |= {package_of(name) for name in imports(TREES[path])} & {"subprocess", "pty"}
    assert not starting or path in STARTS_PROCESSES


@pytest.mark.parametrize(
    "path", [path for path in TREES if path.startswith(("provisioner/", "chattool/"))]
)
def test_provisioner_and_chattool_write_no_sql(path: str) -> None:
    taken = set(imports(TREES[path]))
    assert not taken & {"sqlalchemy.text", "sqlalchemy.insert", "sqlalchemy.update"}
    assert not {name for name in taken if name.startswith(("psycopg", "db.models.jobs"))}


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: sorted(edges(name)) for name in NAMES}
    done: set[str] = set()
    for start in graph:
        cycle = find_cycle(graph, start, (), done)
        assert cycle is None, f"import cycle: {' -> '.join(cycle)}"


def edges(name: str) -> set[str]:
    return {found for found in imports(TREES[NAMES[name]]) if found in NAMES and found != name}


def find_cycle(
    graph: Mapping[str, list[str]], name: str, path: tuple[str, ...], done: set[str]
) -> tuple[str, ...] | None:
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done:
        return None
    for target in graph[name]:
        if cycle := find_cycle(graph, target, (*path, name), done):
            return cycle
    done.add(name)
    return None


@each_module
def test_imports_stand_at_the_top(path: str) -> None:
    inner = [
        node
        for function in ast.walk(TREES[path])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inner


@pytest.mark.parametrize(
    "path", [path for path in TREES if not path.startswith(READS_INSUFFICIENT_QUOTA)]
)
def test_the_code_of_a_quota_refusal_is_named_at_known_places_alone(path: str) -> None:
    is_named = any(INSUFFICIENT_QUOTA in found for found in identifiers(TREES[path]))
    assert is_named == (path in NAMES_INSUFFICIENT_QUOTA)


def test_one_call_gives_a_failure_its_code() -> None:
    callers = [
        (path, node.args[0].attr)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failed_workspace_build_code"
        and isinstance(node.args[0], ast.Attribute)
    ]
    assert callers == [("provisioner/endings.py", "INSUFFICIENT_QUOTA")]


def test_one_place_raises_a_quota_refusal() -> None:
    raised = [
        (path, function.name)
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "QuotaRefusedError"
    ]
    assert raised == [("provisioner/steps.py", "commit")]
