"""Which binaries are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.engines.port import EngineError
from provisioner.engines.terraform.version import (
    Version,
    check_version,
    parse_version,
    read_version,
)

TERRAFORM = '{"terraform_version": "1.11.4", "platform": "linux_amd64", "terraform_outdated": true}'
TOFU = '{"terraform_version": "1.9.0-beta1", "platform": "linux_amd64", "provider_selections": {}}'


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(TERRAFORM, Version(1, 11, 4), id="terraform"),
        pytest.param(TOFU, Version(1, 9, 0), id="tofu"),
        pytest.param("Terraform v1.11.4", None, id="plain text"),
        pytest.param("[]", None, id="a list"),
        pytest.param("{}", None, id="no version"),
        pytest.param('{"terraform_version": 1.1}', None, id="a number"),
        pytest.param('{"terraform_version": "dev"}', None, id="no number"),
    ],
)
def test_versions_are_read_from_json(output: str, expected: Version | None) -> None:
    assert parse_version(output) == expected


def test_versions_are_ordered_by_number_and_not_by_text() -> None:
    assert Version(1, 9, 0) < Version(1, 11, 4)


@pytest.mark.parametrize("version", [Version(1, 0, 11), Version(0, 15, 5)])
def test_a_version_that_is_too_old_is_refused(version: Version) -> None:
    with pytest.raises(EngineError) as refused:
        check_version(version)
    assert str(refused.value) == (
        f'terraform version "{version}" is too old; provisionerd needs at least "1.1.0"'
    )


@pytest.mark.parametrize("version", [Version(1, 1, 0), Version(1, 11, 4), Version(2, 0, 0)])
def test_a_version_that_is_new_enough_is_accepted(version: Version) -> None:
    check_version(version)


def test_a_binary_that_is_something_else_is_refused() -> None:
    with pytest.raises(EngineError, match="is it Terraform or OpenTofu"):
        read_version(Path("/bin/echo"))


def test_a_binary_that_is_missing_is_refused() -> None:
    with pytest.raises(EngineError, match=r'^cannot run "/nowhere/terraform": No such file'):
        read_version(Path("/nowhere/terraform"))
