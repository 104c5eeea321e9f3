"""The generated references say what the code says, and a stale one is found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from db.schema.enums import JobErrorCode
from docs import generate
from docs.generator import blocks, contract, httpapi, metrics, settings, typescript
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CODE = ("db", "quota", "provisioner", "worker", "chattool", "api", "cli", "docs")
# What is made from the routes needs the extra ``api``; without it, it counts as current.
HTTP_API = ["docs/reference/httpapi.json", "docs/reference/httpapi.ts"]
UNCHECKED = [] if httpapi.is_installed() else HTTP_API
HTTP_API = [path for path in HTTP_API if path not in UNCHECKED]
PATHS = [found.path for found in generate.REFERENCES if found.path not in UNCHECKED]
CODES = [code.value for code in JobErrorCode]


@dataclass(frozen=True)
class Changed:
    """A copy of the code with one more error code, and what the generator says of it."""

    root: Path
    checked: subprocess.CompletedProcess[str]
    generated: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    root = tmp_path_factory.mktemp("copy")
    for name in CODE:
        # With what is compiled: only the changed module must be compiled again. Not with what
        # another process is writing, which would vanish meanwhile.
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    add_error_code(root)
    return Changed(root, checked=run(root, "--check"), generated=run(root))


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the generator of the copy, on a machine without Node.js."""
    return subprocess.run(
        [sys.executable, "docs/generate.py", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def reference_at(path: str) -> generate.Reference | generate.Page:
    return next(entry for entry in generate.REFERENCES if entry.path == path)


def add_error_code(copy: Path) -> None:
    enums = copy / "db" / "schema" / "enums.py"
    known = '    INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"\n'
    text = enums.read_text()
    assert known in text
    enums.write_text(text.replace(known, known + '    OUT_OF_STOCK = "OUT_OF_STOCK"\n'))


def test_a_changed_enum_makes_every_reference_of_the_contract_stale(changed: Changed) -> None:
    stale = [
        "docs/reference/openapi.json",
        "docs/reference/README.md",
        *HTTP_API[:1],  # httpapi.ts imports the enums of types.ts
        "cli/outline.json",
        "docs/reference/types.ts",
    ]
    assert (changed.checked.returncode, changed.checked.stdout) == (1, "")
    assert changed.checked.stderr == (
        f"Error: these files are stale: {', '.join(stale)}; run `make generate`\n"
    )


def test_generating_writes_what_is_stale_and_says_what_needs_node(changed: Changed) -> None:
    assert changed.generated.stdout.split() == [
        "wrote",
        "docs/reference/openapi.json",
        "wrote",
        "docs/reference/README.md",
        *(["wrote", HTTP_API[0]] if HTTP_API else []),
        "wrote",
        "cli/outline.json",
    ]
    assert "types.ts was not written: it needs Node.js" in changed.generated.stderr
    assert "OUT_OF_STOCK" in (changed.root / "docs/reference/openapi.json").read_text()


def test_checking_current_references_needs_no_node_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")

    result = CliRunner().invoke(generate.main, ["--check"])

    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("path", PATHS)
def test_a_reference_changed_by_hand_is_stale(path: str, tmp_path: Path) -> None:
    changed = tmp_path / path
    changed.parent.mkdir(parents=True)
    before, mark, after = (ROOT / path).read_text().rpartition("<!-- end of ")
    changed.write_text(f"{before}\n{mark}{after}")

    assert reference_at(path).is_stale(tmp_path)


def test_exactly_the_stale_references_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = [reference_at(path) for path in ("docs/settings.md", "docs/metrics.md")]
    for reference in current:
        (tmp_path / reference.path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / reference.path, tmp_path / reference.path)
    missing = reference_at("docs/reference/openapi.json")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "REFERENCES", (*current, missing))

    result = CliRunner().invoke(generate.main, ["--check"])

    assert (result.exit_code, re.findall(r"docs/[\w/.]+", result.output)) == (1, [missing.path])


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_reference_is_stale(path: str, tmp_path: Path) -> None:
    assert reference_at(path).is_stale(tmp_path)


def test_a_page_keeps_what_is_written_by_hand_around_its_blocks() -> None:
    page = "# Title\n<!-- generated: list -->\nold\n<!-- end of list -->\nThe end.\n"

    assert blocks.fill(page, {"list": lambda: "new"}) == (
        "# Title\n<!-- generated: list -->\n\nnew\n\n<!-- end of list -->\nThe end.\n"
    )


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("text", id="missing"),
        pytest.param("<!-- generated: list -->\n", id="without an end"),
        pytest.param(
            2 * "<!-- generated: list -->\n<!-- end of list -->\n",
            id="twice",
        ),
    ],
)
def test_a_page_without_exactly_its_blocks_is_refused(page: str) -> None:
    with pytest.raises(blocks.BlockError):
        blocks.fill(page, {"list": lambda: "new"})


def test_types_made_by_another_version_of_the_generator_are_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = (ROOT / "docs/reference/types.ts").read_text()
    (tmp_path / typescript.LOCK).write_text("another")
    monkeypatch.setattr(typescript, "PACKAGE", tmp_path)

    assert not typescript.is_current(types)


def components() -> dict[str, Any]:
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def test_openapi_lists_the_error_codes() -> None:
    assert components()["JobErrorCode"]["enum"] == CODES


def test_the_page_lists_the_error_codes() -> None:
    page = (ROOT / "docs/reference/README.md").read_text()
    section = page.partition("## JobErrorCode\n")[2].partition("\n## ")[0]

    assert re.findall(r"^- `(\w+)`$", section, re.MULTILINE) == CODES


def test_the_types_list_the_error_codes_once() -> None:
    types = (ROOT / "docs/reference/types.ts").read_text()
    [declared] = re.findall(r"export type JobErrorCode\w* =([^;]*);", types)

    assert re.findall(r'"(\w+)"', declared) == CODES


def test_a_job_that_the_models_write_agrees_with_the_schema_and_null_does_not() -> None:
    schemas = contract.schemas("#/$defs/{model}")
    validator = jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/WorkspaceQuota", "$defs": schemas}
    )

    assert validator.is_valid({"credits_consumed": 1, "budget": 2})
    assert not validator.is_valid({"credits_consumed": 1, "budget": None})


def test_an_error_code_is_optional_and_never_null() -> None:
    job = components()["ProvisionerJob"]

    assert "error_code" not in job["required"]
    assert job["properties"]["error_code"]["$ref"] == "#/components/schemas/JobErrorCode"


def test_every_setting_has_a_row() -> None:
    shown = re.findall(r"^\| `PROVISIONERD_(\w+)` \|", settings.page(), re.MULTILINE)

    assert sorted(name.lower() for name in shown) == sorted(Settings.model_fields)


def test_a_setting_that_turns_something_off_shows_its_words() -> None:
    assert (
        "| `PROVISIONERD_PREPARED_STATEMENTS` | false for a PgBouncer before 1.22 in transaction"
        " mode, which cannot keep them | `true` | `true` or `false` |" in settings.page()
    )


def test_a_setting_shows_default_and_bounds() -> None:
    assert (
        "| `PROVISIONERD_CONCURRENCY` | builds that this worker runs at once | `4`"
        " | whole number, at least 1, at most 256 |" in settings.page()
    )


@pytest.mark.parametrize(
    "series",
    [
        "| `provisionerd_workspace_builds_total` | counter | `transition`, `status`,",
        "| `provisionerd_queue_depth` | gauge | `queue` |",
        "| `provisionerd_stage_seconds` | histogram | `stage` |",
        "| `provisionerd_doorbell_publish_failures_total` | counter |  |",
    ],
)
def test_a_metric_shows_its_type_and_labels(series: str) -> None:
    assert series in metrics.page()
