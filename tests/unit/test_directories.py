"""The folders that a worker cannot do without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.process.services import make_directories
from worker.settings import Settings, SettingsError


def settings(**given: Path) -> Settings:
    return Settings.model_validate(given)


def test_they_are_made_and_builds_have_theirs_alone(tmp_path: Path) -> None:
    wanted = settings(data_dir=tmp_path / "data", work_dir=tmp_path / "work")
    make_directories(wanted)
    make_directories(wanted)  # a worker that starts again
    assert (tmp_path / "data").is_dir()
    assert (tmp_path / "work").stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("name", ["data", "work"])
def test_one_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folders = {"data_dir": tmp_path / "data", "work_dir": tmp_path / "work"}
    folders[f"{name}_dir"] = tmp_path / "file" / name
    told = (
        f"the folder {tmp_path / 'file' / name} cannot be used (Not a directory); "
        f"set PROVISIONERD_{name.upper()}_DIR to a writable folder"
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(told)}$"):
        make_directories(settings(**folders))
