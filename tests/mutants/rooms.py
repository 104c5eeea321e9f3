"""Which code is mutated, and which tests are asked about it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

BUILDS = "tests/integration/test_runner.py"
# In the order in which they are asked: what is quick first.
ROOMS: Mapping[str, tuple[str, ...]] = {
    "db/jobs": (
        "tests/unit/test_states.py",
        "tests/unit/test_tags.py",
        "tests/integration/test_logs.py",
        "tests/integration/test_leases.py",
        "tests/integration/test_states.py",
        "tests/integration/test_transitions.py",
        "tests/integration/test_queue.py",
        "tests/integration/test_retention.py",
        "tests/integration/test_metrics.py",
        "tests/integration/test_mover.py",
        BUILDS,
    ),
    "db/parameters": (
        "tests/unit/test_parameter_rules.py",
        "tests/integration/sql/test_choice.py",
        "tests/unit/test_patterns.py",
        "tests/unit/test_variable_types.py",
        "tests/unit/test_judgement.py",
        "tests/unit/test_expressions.py",
    ),
    "quota": ("tests/integration/quota", BUILDS),
    "provisioner/build": (
        "tests/unit/test_failures.py",
        "tests/unit/test_endings.py",
        "tests/unit/test_environment.py",
        "tests/unit/test_logbuffer.py",
        BUILDS,
        "tests/integration/test_traces.py",
    ),
    "worker/slots": (
        "tests/integration/test_keeper.py",
        "tests/integration/test_dispatch.py",
        "tests/integration/test_metrics.py",
        "tests/integration/test_mover.py",
    ),
    "worker/maintenance": (
        "tests/unit/test_chores.py",
        "tests/unit/test_connectivity.py",
        "tests/integration/test_sweeper.py",
        "tests/integration/test_doorbells.py",
        "tests/integration/test_metrics.py",
        "tests/integration/test_mover.py",
        "tests/integration/test_retention.py",
    ),
}

AGENTS = "tests/integration/test_agents.py"
OWNERS = "tests/integration/test_secrets.py"
# Tests that know a module only through others.
ALSO: Mapping[str, tuple[str, ...]] = {
    "db/jobs/agentrows.py": (AGENTS,),
    "db/jobs/agents.py": (AGENTS,),
    "db/jobs/approws.py": (AGENTS,),
    "db/jobs/builds.py": (OWNERS,),
    "db/jobs/deadlines.py": ("tests/integration/test_autostop.py",),
    "db/jobs/dryruns.py": ("tests/integration/test_dry_runs.py",),
    "db/jobs/finish.py": ("tests/integration/test_orphans.py",),
    "db/jobs/imports.py": ("tests/integration/test_version_imports.py",),
    "db/jobs/moves.py": ("tests/integration/api/test_events.py",),
    "db/jobs/resourcerows.py": (AGENTS,),
    "provisioner/build/importing.py": ("tests/integration/test_version_imports.py",),
}


def modules_of(room: str) -> list[str]:
    """Return the source files of a room, relative to the project."""
    found = sorted((ROOT / room).glob("*.py"))
    return [path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py"]


def asked_about(room: str, module: str) -> tuple[str, ...]:
    """Return the tests that know the module, and those of whole builds; else all of the room."""
    name = module.removesuffix(".py").replace("/", ".")
    knowing = [path for path in ROOMS[room] if path == BUILDS or name in _imports_below(path)]
    of_room = tuple(knowing) if set(knowing) - {BUILDS} else ROOMS[room]
    return tuple(dict.fromkeys((*ALSO.get(module, ()), *of_room)))


def _imports_below(path: str) -> set[str]:
    files = [ROOT / path] if path.endswith(".py") else sorted((ROOT / path).rglob("*.py"))
    return {name for file in files for name in _imports(ast.parse(file.read_text()))}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
