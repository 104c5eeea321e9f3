"""Which paths of the host sandboxes show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.host.sandbox.paths import SharedPaths, read_needs, without_hidden


def _config(folder: Path, needs: object) -> Path:
    (folder / "terraform.rc.sandbox.json").write_text(json.dumps(needs))
    return folder / "terraform.rc"


def test_a_configuration_without_needs_shows_nothing(tmp_path: Path) -> None:
    assert read_needs(tmp_path / "terraform.rc") == SharedPaths()


def test_the_needs_of_a_provider_are_read_but_for_paths_that_do_not_exist(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        {"readable": ["/usr", "/no/such"], "writable": [str(tmp_path)], "keeps_user": True},
    )

    assert read_needs(config) == SharedPaths(
        readable=(Path("/usr"),), writable=(tmp_path,), keeps_user=True
    )


@pytest.mark.parametrize(
    "needs",
    [
        pytest.param([], id="no object"),
        pytest.param({"readable": []}, id="a key is missing"),
        pytest.param({"readable": ["usr"], "writable": [], "keeps_user": False}, id="relative"),
        pytest.param({"readable": [], "writable": ["/"], "keeps_user": False}, id="the root"),
        pytest.param({"readable": [3], "writable": [], "keeps_user": False}, id="no text"),
    ],
)
def test_needs_that_cannot_be_understood_are_refused(tmp_path: Path, needs: object) -> None:
    with pytest.raises(ValueError, match=r"terraform\.rc\.sandbox\.json does not say"):
        read_needs(_config(tmp_path, needs))


def test_the_neighbours_of_a_hidden_folder_are_shown_in_place_of_what_contains_it(
    tmp_path: Path,
) -> None:
    for name in ("data/work", "cloud", "other"):
        (tmp_path / name).mkdir(parents=True)

    shown = without_hidden([tmp_path], [tmp_path / "data" / "work"])

    assert list(shown) == [tmp_path / "cloud", tmp_path / "other"]


def test_a_path_that_is_named_inside_of_a_hidden_folder_is_shown(tmp_path: Path) -> None:
    cloud = tmp_path / "data" / "cloud"

    assert list(without_hidden([cloud], [tmp_path / "data"])) == [cloud]
