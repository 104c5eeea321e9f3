"""The CLI configuration of builds always says where providers come from."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from provisioner.engines.terraform.cache.cliconfig import settle_cli_config, with_sources

CREDENTIALS = 'credentials "registry.example" {\n  token = "t"\n}\n'
MIRROR = 'provider_installation {\n  filesystem_mirror {\n    path = "/srv/mirror"\n  }\n}\n'
OVERRIDES = (
    'provider_installation {\n  dev_overrides {\n    "a/b" = "/srv/b"\n  }\n  direct {}\n}\n'
)


def test_without_a_configuration_providers_come_from_registries_alone(tmp_path: Path) -> None:
    settled = settle_cli_config(None, tmp_path / "made")
    assert settled.read_text() == "provider_installation {\n  direct {}\n}\n"


def test_everybody_may_read_the_configuration_without_secrets(tmp_path: Path) -> None:
    settled = settle_cli_config(None, tmp_path)
    assert stat.S_IMODE(settled.stat().st_mode) == 0o644


@pytest.mark.parametrize("text", [MIRROR, OVERRIDES, CREDENTIALS + MIRROR])
def test_sources_of_the_operator_are_used_as_they_are(tmp_path: Path, text: str) -> None:
    given = tmp_path / "terraform.rc"
    given.write_text(text)
    assert settle_cli_config(given, tmp_path / "made") == given


@pytest.mark.parametrize("text", [CREDENTIALS, "# provider_installation {}\n", "\n"])
def test_a_configuration_without_sources_gets_the_registries(tmp_path: Path, text: str) -> None:
    given = tmp_path / "terraform.rc"
    given.write_text(text)
    settled = settle_cli_config(given, tmp_path / "made").read_text()
    assert settled == f"{text}\nprovider_installation {{\n  direct {{}}\n}}\n"


def test_a_copy_is_no_more_readable_than_the_operators_file(tmp_path: Path) -> None:
    given = tmp_path / "terraform.rc"
    given.write_text(CREDENTIALS)
    given.chmod(0o640)
    settled = settle_cli_config(given, tmp_path / "made")
    assert stat.S_IMODE(settled.stat().st_mode) == 0o640


def test_a_configuration_in_json_gets_the_registries(tmp_path: Path) -> None:
    given = tmp_path / "terraform.rc"
    given.write_text('{"disable_checkpoint": true}')
    settled = json.loads(settle_cli_config(given, tmp_path / "made").read_text())
    assert settled["provider_installation"] == [{"direct": [{}]}]


def test_sources_in_json_are_used_as_they_are() -> None:
    text = '{"provider_installation": [{"direct": [{}]}]}'
    assert with_sources(text) == text


def test_only_finished_files_are_left(tmp_path: Path) -> None:
    made = {settle_cli_config(None, tmp_path) for _ in range(2)}
    assert set(tmp_path.iterdir()) == made


def test_a_configuration_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        settle_cli_config(tmp_path / "nowhere", tmp_path)
