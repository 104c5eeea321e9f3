"""What comes from outside is read, or refused by the error that is documented: nothing else."""

from __future__ import annotations

import io
import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from db.catalog.arguments import BuildArguments
from db.catalog.names import check_name
from db.engine import DatabaseError, open_database
from db.errors import InvalidError
from db.faults import parse_faults
from db.jobs.statefiles import managed_resources, parse_state_file
from db.jobs.states import read_state
from db.jobs.tags import normalize_tags, queue_name
from provisioner.engines.graph import Graph
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.cache.lockfile import read_lock_file
from provisioner.engines.terraform.changes import changes_of
from provisioner.engines.terraform.conversion.declarations import declarations_of
from provisioner.engines.terraform.conversion.dot import read_graph
from provisioner.engines.terraform.conversion.instances import instances_of_plan
from provisioner.engines.terraform.conversion.resources import resources_of
from provisioner.engines.terraform.declarations import read_template
from provisioner.engines.terraform.messages import parse_message
from provisioner.engines.terraform.price import price_plan, read_plan
from provisioner.engines.terraform.state import instances_of, providers_of
from provisioner.host.archive import read_archive
from provisioner.host.members import ArchiveError
from provisioner.host.packing import pack_folder, take_tar
from provisioner.host.sandbox.paths import read_paths
from provisioner.template.localmodules import check_local_modules, find_module_cycle
from tests.harness.fuzz import DOCUMENTS, TEXTS, damaged, fuzzed
from worker.broker.address import broker_url, check_redis_url
from worker.settings import Settings, SettingsError, load_settings
from worker.variables import variable_of

STATE = {
    "version": 4,
    "terraform_version": "1.11.4",
    "serial": 3,
    "lineage": "6a1b",
    "outputs": {},
    "resources": [
        {
            "module": "module.m[0]",
            "mode": "managed",
            "type": "coder_agent",
            "name": "dev",
            "provider": 'provider["registry.terraform.io/coder/coder"]',
            "instances": [{"index_key": "a", "attributes": {"id": "1", "os": "linux"}}],
        }
    ],
}
METADATA = {
    "address": 'module.m["a"].coder_metadata.cost',
    "mode": "managed",
    "type": "coder_metadata",
    "name": "cost",
    "index": 0,
    "values": {"resource_id": "1", "daily_cost": 3, "item": [{"key": "a", "value": "b"}]},
}
PARAMETER = {
    "address": "data.coder_parameter.size",
    "mode": "data",
    "type": "coder_parameter",
    "name": "size",
    "values": {
        "name": "size",
        "type": "number",
        "default": "3",
        "option": [{"name": "a", "value": "1"}],
        "validation": [{"min": 1, "max": 5, "regex": "", "monotonic": "increasing"}],
    },
}
DATA = {
    "address": "terraform_data.x",
    "mode": "managed",
    "type": "terraform_data",
    "name": "x",
    "values": {"input": {"daily_cost": 2}},
}
PLAN = {
    "format_version": "1.2",
    "planned_values": {
        "root_module": {
            "resources": [DATA],
            "child_modules": [{"address": 'module.m["a"]', "resources": [METADATA]}],
        }
    },
    "resource_changes": [
        {
            "address": "terraform_data.x",
            "mode": "managed",
            "type": "terraform_data",
            "name": "x",
            "change": {"actions": ["create"], "after_unknown": {"id": True}},
        }
    ],
    "prior_state": {"values": {"root_module": {"resources": [PARAMETER]}}},
}
TEMPLATE = {
    "variable": {"size": {"type": "number", "default": 3, "sensitive": True}},
    "data": {
        "coder_parameter": {"p": {"name": "p", "type": "string", "option": [{"name": "a"}]}},
        "coder_workspace_tags": {"t": {"tags": {"zone": "eu"}}},
    },
    "module": {"m": {"source": "./m"}},
}
MESSAGE = {
    "@level": "error",
    "@message": "Error",
    "@timestamp": "2026-01-01T00:00:00Z",
    "type": "diagnostic",
    "hook": {"resource": {"addr": "a.b"}, "action": "create"},
    "diagnostic": {
        "severity": "error",
        "summary": "s",
        "detail": "d",
        "range": {"filename": "main.tf", "start": {"line": 1}},
        "snippet": {"code": "x", "values": [{"traversal": "a", "statement": "b"}]},
    },
}


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


@contextmanager
def folder_with(name: bytes, content: bytes) -> Iterator[Path]:
    """A folder of a template with one more file, if the file system takes its name."""
    with tempfile.TemporaryDirectory() as root:
        Path(root, "main.tf").touch()
        with suppress(OSError, ValueError):
            Path(root, name.decode("utf-8", "surrogateescape")).write_bytes(content)
        yield Path(root)


@fuzzed
@given(st.binary(max_size=2000) | st.binary(max_size=600).map(lambda data: data * 4))
def test_archives(data: bytes) -> None:
    with suppress(ArchiveError):
        read_archive(data)
    with suppress(ArchiveError):
        take_tar(io.BytesIO(data))


@fuzzed
@given(st.binary(min_size=1, max_size=30), st.binary(max_size=100))
def test_folders_of_templates(name: bytes, content: bytes) -> None:
    with folder_with(name, content) as folder, suppress(ArchiveError):
        packed = pack_folder(folder)
        check_local_modules(read_archive(packed.archive))


@fuzzed
@given(st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_tags(tags: dict[str, str]) -> None:
    with suppress(InvalidError):
        normal = normalize_tags(tags)
        assert normalize_tags(normal) == normal
        assert queue_name(normal) == queue_name(tags)


@fuzzed
@given(TEXTS)
def test_names(name: str) -> None:
    with suppress(InvalidError):
        assert check_name("workspace", name).isascii()


URLS = TEXTS | st.tuples(
    st.sampled_from(["postgresql", "redis", "rediss", "unix", "http", ""]),
    TEXTS | st.sampled_from(["h:1", "[::1", "u:p@h:x", "h:99999", "/run/s?db=x"]),
    TEXTS,
).map(lambda parts: f"{parts[0]}://{parts[1]}/{parts[2]}")


@fuzzed
@given(URLS)
def test_urls_of_databases(url: str) -> None:
    with suppress(DatabaseError):
        open_database(url).dispose()


@fuzzed
@given(URLS)
def test_urls_of_redis(url: str) -> None:
    with suppress(ValueError):
        check_redis_url(url)
        assert broker_url(url)


@fuzzed
@given(st.sampled_from(sorted(Settings.model_fields)), TEXTS | URLS)
def test_settings(name: str, value: str) -> None:
    with suppress(SettingsError):
        load_settings({variable_of(name): value})


@fuzzed
@given(TEXTS)
def test_faults_and_paths(text: str) -> None:
    with suppress(InvalidError):
        parse_faults(text)
    with suppress(ValueError):
        read_paths([text])


ARGUMENTS = {
    "workspace_id": uuid.UUID(int=1),
    "transition": "start",
    "initiator_id": None,
    "template_version_id": None,
    "parameters": {"size": "3"},
    "preset": None,
    "reason": "initiator",
    "trace_metadata": {"traceparent": "00"},
}


@fuzzed
@given(st.sampled_from(sorted(ARGUMENTS)), DOCUMENTS)
def test_arguments_of_a_build(name: str, value: object) -> None:
    with suppress(InvalidError):
        BuildArguments.check(**{**ARGUMENTS, name: value})


@fuzzed
@given(damaged(STATE).map(as_json) | st.binary(max_size=200))
def test_states(data: bytes) -> None:
    read_state(data)
    managed_resources(data)
    providers_of(data)
    with suppress(InvalidError):
        parse_state_file(data)
    with suppress(EngineError):
        resources_of(instances_of(data) or (), Graph())


@fuzzed
@given(damaged(PLAN).map(json.dumps) | TEXTS)
def test_plans(text: str) -> None:
    with suppress(EngineError):
        plan = read_plan(text)
        list(changes_of(plan, price_plan(plan)))
    with suppress(EngineError):
        instances = tuple(instances_of_plan(read_plan(text)))
        declarations_of(instances)
        resources_of(instances, Graph())


@fuzzed
@given(damaged(TEMPLATE).map(as_json) | st.binary(max_size=200))
def test_templates_in_json(data: bytes) -> None:
    files = {"main.tf.json": memoryview(data)}
    find_module_cycle(files)
    with suppress(ArchiveError):
        check_local_modules(files)
    with suppress(EngineError):
        read_template(files)


@fuzzed
@given(damaged(MESSAGE).map(json.dumps) | TEXTS)
def test_messages_of_terraform(line: str) -> None:
    parse_message(line)


@fuzzed
@given(TEXTS | st.from_regex(r'"[^"]*" -> "[^"]*"'))
def test_graphs(text: str) -> None:
    read_graph(text)


@fuzzed
@given(st.binary(max_size=200))
def test_lock_files(data: bytes) -> None:
    with folder_with(b"lock", data) as folder:
        read_lock_file(folder / "lock")


def test_the_documents_are_read_as_they_are() -> None:
    """Otherwise the tests above would damage what is refused anyway."""
    plan: Any = read_plan(json.dumps(PLAN))
    assert price_plan(plan) == {DATA["address"]: 2, METADATA["address"]: 3}
    assert len(declarations_of(tuple(instances_of_plan(plan))).parameters) == 1
    assert len(instances_of(as_json(STATE)) or ()) == 1
    assert len(read_template({"main.tf.json": memoryview(as_json(TEMPLATE))}).variables) == 1
