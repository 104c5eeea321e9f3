"""Which provider packages other builds of the host may use."""

from __future__ import annotations

import pytest

from provisioner.engines.terraform.cache.plugins import Sources

REGISTRIES = "provider_installation {\n  direct {}\n}\n"
MIRROR = 'provider_installation {\n  filesystem_mirror {\n    path = "/srv"\n  }\n}\n'
OURS, SIGNED = "h1:ours=", "zh:signed"


@pytest.mark.parametrize(
    ("config", "hashes"),
    [
        pytest.param(REGISTRIES, {OURS, SIGNED}, id="signed by a registry"),
        pytest.param(MIRROR, {OURS}, id="from the operator's mirror"),
        pytest.param(MIRROR, {OURS, SIGNED}, id="signed, from the operator's mirror"),
    ],
)
def test_a_verified_package_is_shared(config: str, hashes: set[str]) -> None:
    assert Sources(config=config).vouch_for(OURS, frozenset(hashes))


@pytest.mark.parametrize(
    ("config", "hashes"),
    [
        pytest.param("", {OURS, SIGNED}, id="no source is named"),
        pytest.param(REGISTRIES, {OURS}, id="not signed"),
        pytest.param(REGISTRIES, {"h1:other=", SIGNED}, id="another package"),
        pytest.param(MIRROR, {"h1:other="}, id="another package of a mirror"),
        pytest.param(REGISTRIES, set(), id="not in the lock file"),
    ],
)
def test_a_package_that_nobody_vouches_for_is_not_shared(config: str, hashes: set[str]) -> None:
    assert not Sources(config=config).vouch_for(OURS, frozenset(hashes))


def test_packages_of_other_sources_are_kept_apart() -> None:
    assert Sources(config=REGISTRIES).origin != Sources(config=MIRROR).origin
