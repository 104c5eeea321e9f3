"""What the engine puts into the work directory and takes out of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from db.jobs.declarations import Template, TemplateVariable
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.files import VARIABLES_FILE, prepare, write_variables


def variables(directory: Path, type_: str, value: str) -> object:
    template = Template(variables=(TemplateVariable(name="v", required=True, type=type_),))
    write_variables(directory, template, {"v": value, "undeclared": "x"}, is_delete=False)
    return json.loads((directory / VARIABLES_FILE).read_bytes())


@pytest.mark.parametrize(("is_delete", "written"), [(True, {"v": None}), (False, {})])
def test_a_delete_has_null_for_a_required_value_that_is_missing(
    tmp_path: Path, is_delete: bool, written: object
) -> None:
    template = Template(variables=(TemplateVariable(name="v", required=True),))
    write_variables(tmp_path, template, {}, is_delete=is_delete)
    assert json.loads((tmp_path / VARIABLES_FILE).read_bytes()) == written


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "planted",
    [
        ".terraform/providers/evil",
        ".terraform/environment",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "terraform.tfstate.d/other/terraform.tfstate",
        ".terraform.tfstate.lock.info",
        "errored.tfstate",
        "terraform.tfplan",
    ],
)
def test_what_a_template_planted_is_removed(tmp_path: Path, planted: str) -> None:
    path = tmp_path / planted
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("planted")
    prepare(tmp_path, None)
    assert not path.exists()


def test_a_planted_link_is_removed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (tmp_path / ".terraform").symlink_to(target)
    prepare(tmp_path, None)
    assert target.exists()
    assert not (tmp_path / ".terraform").is_symlink()


def test_the_state_is_readable_by_us_only(tmp_path: Path) -> None:
    prepare(tmp_path, b"state")
    path = tmp_path / "terraform.tfstate"
    assert (path.read_bytes(), mode(path)) == (b"state", 0o600)


@pytest.mark.parametrize("empty", [None, b""])
def test_without_a_state_there_is_no_state_file(tmp_path: Path, empty: bytes | None) -> None:
    prepare(tmp_path, empty)
    assert not (tmp_path / "terraform.tfstate").exists()


@pytest.mark.parametrize(
    "name", ["main.tf", "zzz_override.tf", "\U0010ffff_override.tf.json", "zz_provisionerd~", ".a"]
)
def test_our_override_sorts_after_every_file_of_the_template(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    prepare(tmp_path, None)
    last = max(os.listdir(os.fsencode(tmp_path)))  # noqa: PTH208 -- sorted as bytes
    assert last.endswith(b"_override.tf.json")
    assert (
        "local" in json.loads((tmp_path / os.fsdecode(last)).read_bytes())["terraform"]["backend"]
    )


def test_only_declared_variables_are_written_and_for_us_only(tmp_path: Path) -> None:
    assert variables(tmp_path, "string", "x") == {"v": "x"}
    assert mode(tmp_path / VARIABLES_FILE) == 0o600


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("string", '["a"]', '["a"]'),
        ("string", "${path.module}\n", "${path.module}\n"),
        ("number", "5", "5"),
        ("bool", "true", "true"),
        ("list(string)", '["a"]', ["a"]),
        ("map(string)", '{"a": "b"}', {"a": "b"}),
        ("any", '["a"]', ["a"]),
        ("any", "plain", "plain"),
    ],
)
def test_a_value_is_written_for_its_type(
    tmp_path: Path, type_: str, value: str, expected: object
) -> None:
    assert variables(tmp_path, type_, value) == {"v": expected}


def test_a_list_that_is_not_json_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'variable "v" must be JSON, because its type is list'):
        variables(tmp_path, "list(string)", "a, b")


def test_a_planted_link_for_the_variables_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / VARIABLES_FILE).symlink_to(tmp_path / "elsewhere")
    variables(tmp_path, "string", "secret")
    assert not (tmp_path / "elsewhere").exists()
