"""Builds that begin with what an earlier build of the same template initialized."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.schema.enums import LogLevel, TimingStage
from deploy.ledger.install import SOURCE
from provisioner.engines.port import EngineError
from provisioner.engines.terraform import files
from provisioner.engines.terraform.cache.cliconfig import settle_cli_config
from provisioner.engines.terraform.cache.lockfile import package_hash, read_lock_file
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.initcache import InitCache
from provisioner.host.interrupt import InterruptReason
from provisioner.host.sandbox.port import Confined, NoSandbox, Scope
from tests.harness.waiting import wait_until
from tests.integration.terraform.builds import Build, MakeBuild, MakeCached, Spawn, Template
from tests.integration.terraform.mirror import Mirror, make_mirror

DEADLINE_S = 60
MEGABYTE = 1024**2
HERE = Path(__file__).parent

PLAIN = 'resource "terraform_data" "x" {\n input = 1\n}\n'
WITH_MODULE = {
    "main.tf": 'module "m" {\n source = "./mod"\n}\n',
    "mod/main.tf": 'resource "terraform_data" "inner" {}\n',
}


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return make_mirror(tmp_path_factory.mktemp("mirror"), provider_bytes=3 * MEGABYTE)


@pytest.fixture
def cache_root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def counted(terraform: Path, tmp_path: Path) -> Path:
    """A Terraform that notes each command."""
    path = tmp_path / "counted-terraform"
    path.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/commands\nexec {terraform} "$@"\n')
    path.chmod(0o700)
    return path


@pytest.fixture
def commands(tmp_path: Path) -> Callable[[], list[str]]:
    def commands() -> list[str]:
        noted = (tmp_path / "commands").read_text().split()
        return [command for command in noted if command != "version"]

    return commands


@pytest.fixture
def cached(make_build: MakeBuild, counted: Path, cache_root: Path, mirror: Mirror) -> MakeCached:
    """Return a maker of builds that share a cache, and whose providers are in the mirror."""

    def make(template: Template, *, config: Path = mirror.config, **facts: Any) -> Build:
        build = make_build(template, counted, **facts)
        build.engine = TerraformEngine(
            counted,
            grace=timedelta(seconds=30),
            cache=InitCache(TreeStore(cache_root, max_bytes=10**9)),
        )
        environment = {**build.context.environment, "TF_CLI_CONFIG_FILE": str(config)}
        build.context = dataclasses.replace(build.context, environment=environment)
        return build

    return make


class Recorder(NoSandbox):
    """Notes what each command may see."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        self.scopes.append(scope)
        return super().confine(command, scope)


def kept(cache_root: Path, kind: TreeKind = TreeKind.INITIALIZED) -> list[Path]:
    return sorted((cache_root / kind).glob("*"))


def data_dir(build: Build) -> Path:
    return build.context.directory / ".terraform"


@pytest.mark.parametrize("template", [PLAIN, WITH_MODULE], ids=["plain", "module"])
def test_the_second_build_of_a_template_starts_no_init(
    cached: MakeCached, commands: Callable[[], list[str]], template: Template
) -> None:
    cached(template).plan_and_apply()
    cached(template).plan_and_apply()
    assert commands() == ["init", "plan", "show", "apply", "plan", "show", "apply"]


def test_a_build_with_a_module_from_the_cache_makes_the_same(cached: MakeCached) -> None:
    first, second = (cached(WITH_MODULE).plan_and_apply() for _ in range(2))
    assert second.resources == first.resources != ()


def test_a_build_from_the_cache_says_so(cached: MakeCached) -> None:
    cached(PLAIN).plan_and_apply()
    build = cached(PLAIN)
    build.engine.init(build.context)
    assert build.lines == [(LogLevel.INFO, "Initialized from cache")]


def test_a_build_from_the_cache_still_has_the_timing_of_its_init(cached: MakeCached) -> None:
    cached(PLAIN).plan_and_apply()
    build = cached(PLAIN)
    (timing,) = build.engine.init(build.context)
    assert (timing.stage, timing.resource) == (TimingStage.INIT, "coder_stage_init")


@pytest.mark.parametrize("name", ["main.tf", "mod/main.tf", "data.txt", ".terraform.lock.hcl"])
def test_a_template_with_another_file_is_initialized(
    cached: MakeCached, commands: Callable[[], list[str]], name: str
) -> None:
    cached(WITH_MODULE).plan_and_apply()
    other = {**WITH_MODULE, name: WITH_MODULE.get(name, "") + "# another\n"}
    cached(other).plan_and_apply()
    assert commands().count("init") == 2


def test_what_a_build_writes_does_not_reach_the_next(cached: MakeCached) -> None:
    first = cached(WITH_MODULE)
    first.plan_and_apply()
    for path in data_dir(first).rglob("*.json"):
        path.write_text("{")
    assert cached(WITH_MODULE).plan_and_apply().resources


def test_a_lock_file_that_lacks_nothing_is_not_changed(
    cached: MakeCached, commands: Callable[[], list[str]]
) -> None:
    template = {"main.tf": PLAIN, ".terraform.lock.hcl": "# ours\n"}
    cached(template).plan_and_apply()
    build = cached(template)
    build.plan_and_apply()
    lock_file = build.context.directory / ".terraform.lock.hcl"
    assert (lock_file.read_text(), commands().count("init")) == ("# ours\n", 1)


def test_a_failed_init_leaves_nothing_behind(cached: MakeCached, cache_root: Path) -> None:
    build = cached('module "m" {\n source = "./nowhere"\n}\n')
    with pytest.raises(EngineError):
        build.engine.init(build.context)
    assert (kept(cache_root), list((cache_root / "drafts").iterdir())) == ([], [])


@pytest.mark.parametrize("name", [".terraform/modules/modules.json", "manifest.json"])
def test_a_kept_directory_that_was_changed_is_not_used(
    cached: MakeCached, commands: Callable[[], list[str]], cache_root: Path, name: str
) -> None:
    cached(WITH_MODULE).plan_and_apply()
    (entry,) = kept(cache_root)
    (entry / name.replace(".terraform", "tree")).write_text("{}")
    cached(WITH_MODULE).plan_and_apply()
    assert commands().count("init") == 2


def test_a_cache_that_cannot_be_written_fails_no_build(
    cached: MakeCached, cache_root: Path
) -> None:
    cache_root.write_text("a file in its place")
    assert cached(PLAIN).plan_and_apply().state


def test_a_kept_directory_may_be_removed_under_a_build(
    cached: MakeCached, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    template = mirror.template(tmp_path / "ledger")
    cached(template).plan_and_apply()
    build = cached(template)
    build.engine.init(build.context)
    shutil.rmtree(cache_root)
    build.engine.plan(build.context)
    assert build.engine.apply(build.context).resources


# Providers.


def test_a_provider_is_there_once_however_many_templates_use_it(
    cached: MakeCached, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    builds = [cached(mirror.template(tmp_path / name)) for name in ("one", "two", "two")]
    for build in builds:
        build.engine.init(build.context)
    inodes = {mirror.package_in(data_dir(build)).stat().st_ino for build in builds}
    assert (len(inodes), len(kept(cache_root, TreeKind.PACKAGES))) == (1, 1)


def test_builds_that_could_change_a_provider_share_none(
    cached: MakeCached, counted: Path, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    """The first brings the package, the second gets its directory, the third the package."""
    store = TreeStore(cache_root, max_bytes=10**9, shares_files=False)
    links = []
    for name in ("one", "one", "two"):
        build = cached(mirror.template(tmp_path / name))
        build.engine = TerraformEngine(counted, grace=timedelta(seconds=30), cache=InitCache(store))
        build.engine.init(build.context)
        links.append(mirror.package_in(data_dir(build)).stat().st_nlink)
    assert links == [1, 1, 1]


def test_a_build_gets_the_lock_file_of_the_first_init(
    cached: MakeCached, mirror: Mirror, tmp_path: Path
) -> None:
    builds = [cached(mirror.template(tmp_path / "ledger")) for _ in range(2)]
    for build in builds:
        build.engine.init(build.context)
    first, second = (
        read_lock_file(build.context.directory / ".terraform.lock.hcl") for build in builds
    )
    assert second == first != {}


@pytest.fixture
def planted(mirror: Mirror, tmp_path: Path) -> dict[str, str]:
    """A template that finds its provider in its own folder, where Terraform searches by itself."""
    plugins = tmp_path / "planted" / "terraform.d" / "plugins"
    shutil.copytree(mirror.config.parent / "packed", plugins)
    return {"main.tf": mirror.template(tmp_path / "ledger")}


def test_what_a_template_brings_is_lent_to_no_other_build(
    cached: MakeCached, cache_root: Path, planted: dict[str, str], tmp_path: Path
) -> None:
    """As if a template had written its folder after it was unpacked, and no source was named."""
    config = tmp_path / "terraform.rc"
    config.write_text("disable_checkpoint = true\n")
    build = cached(planted, config=config, directory=tmp_path / "planted")
    build.engine.init(build.context)
    assert [kept(cache_root, kind) for kind in TreeKind] == [[], []]


def test_what_a_template_brings_is_not_used_if_the_operator_names_no_source(
    cached: MakeCached, planted: dict[str, str], tmp_path: Path
) -> None:
    settled = settle_cli_config(None, tmp_path / "made")
    build = cached(planted, config=settled, directory=tmp_path / "planted")
    with pytest.raises(EngineError, match="query available provider packages"):
        build.engine.init(build.context)


def test_no_command_can_write_to_what_the_store_lends(
    cached: MakeCached, counted: Path, mirror: Mirror, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        build = cached(mirror.template(tmp_path / name))
        sandbox = Recorder()
        build.engine = TerraformEngine(
            counted,
            grace=timedelta(seconds=30),
            cache=InitCache(TreeStore(tmp_path / "cache", max_bytes=10**9)),
            sandbox=sandbox,
        )
        build.engine.init(build.context)
    (scope,) = sandbox.scopes
    (lent,) = (path for path in scope.readable if path.name == "lent")
    assert not any(lent.is_relative_to(path) for path in scope.writable)


def _forge(path: Path) -> None:
    """Change one byte of a file, in place and without a trace in its size and times."""
    before = path.stat()
    path.chmod(0o755)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"#")
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_forged_provider_is_never_started(
    cached: MakeCached,
    commands: Callable[[], list[str]],
    cache_root: Path,
    mirror: Mirror,
    tmp_path: Path,
) -> None:
    """Terraform finds it at plan, and then again in the store that the package came from."""
    template = mirror.template(tmp_path / "ledger")
    cached(template).plan_and_apply()
    (package,) = kept(cache_root, TreeKind.PACKAGES)
    _forge(package / "tree" / mirror.binary)
    assert cached(template).plan_and_apply().resources
    assert commands()[4:] == ["plan", "init", "init", "plan", "show", "apply"]


def test_a_forged_package_is_not_lent_to_another_template(
    cached: MakeCached, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    first = cached(mirror.template(tmp_path / "one"))
    first.engine.init(first.context)
    good = package_hash(mirror.package_in(data_dir(first)).parent)
    (package,) = kept(cache_root, TreeKind.PACKAGES)
    _forge(package / "tree" / mirror.binary)
    second = cached(mirror.template(tmp_path / "two"))
    second.engine.init(second.context)
    assert package_hash(mirror.package_in(data_dir(second)).parent) == good


def test_a_lock_file_that_names_another_package_is_not_satisfied_by_the_store(
    cached: MakeCached, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    template = mirror.template(tmp_path / "ledger")
    first = cached(template)
    first.engine.init(first.context)
    (package,) = kept(cache_root, TreeKind.PACKAGES)
    lock_text = (first.context.directory / ".terraform.lock.hcl").read_text()
    known = package_hash(package / "tree")
    other = lock_text.replace(known, "h1:" + "A" * 43 + "=")
    build = cached({"main.tf": template, ".terraform.lock.hcl": other})
    with pytest.raises(EngineError, match="checksums"):
        build.engine.init(build.context)
    assert package_hash(package / "tree") == known


def test_a_state_that_needs_one_more_provider_is_initialized(
    cached: MakeCached, commands: Callable[[], list[str]], mirror: Mirror, tmp_path: Path
) -> None:
    made = cached(mirror.template(tmp_path / "ledger")).plan_and_apply()
    cached(PLAIN).plan_and_apply()
    for _ in range(2):  # the first replaces what was kept, the second uses it
        after = cached(PLAIN, state=made.state).plan_and_apply()
        assert [resource.type for resource in after.resources] == ["terraform_data"]
    assert commands().count("init") == 3


def test_a_provider_that_only_the_state_needs_is_installed_beside_a_lock_file(
    cached: MakeCached, commands: Callable[[], list[str]], mirror: Mirror, tmp_path: Path
) -> None:
    made = cached(mirror.template(tmp_path / "ledger")).plan_and_apply()
    dropped = {"main.tf": PLAIN, ".terraform.lock.hcl": "# ours\n"}
    for _ in range(2):  # the second takes what the first has kept, the completed lock file too
        after = cached(dropped, state=made.state).plan_and_apply()
        assert [resource.type for resource in after.resources] == ["terraform_data"]
    assert commands().count("init") == 2


@pytest.fixture
def build_that_lacks_a_lock(cached: MakeCached, mirror: Mirror, tmp_path: Path) -> Build:
    """After init: its template has a lock file without the provider."""
    template = {"main.tf": mirror.template(tmp_path / "one"), ".terraform.lock.hcl": "# ours\n"}
    build = cached(template)
    build.engine.init(build.context)
    return build


def test_a_provider_that_the_lock_file_lacks_is_installed_with_a_warning(
    build_that_lacks_a_lock: Build,
) -> None:
    build = build_that_lacks_a_lock
    warnings = [text for level, text in build.lines if level is LogLevel.WARN]
    assert any(f"lacks {SOURCE}" in text for text in warnings)


def test_a_completed_lock_file_is_the_authors_again_before_another_init(
    build_that_lacks_a_lock: Build,
) -> None:
    build = build_that_lacks_a_lock
    files.undo_init(build.context.directory, build.context.files)
    assert (build.context.directory / files.LOCK_FILE).read_text() == "# ours\n"


def test_an_unpacked_mirror_is_used_where_it_is(
    cached: MakeCached, mirror: Mirror, tmp_path: Path
) -> None:
    config = mirror.config.parent / "unpacked" / "terraform.rc"
    builds = [cached(mirror.template(tmp_path / "ledger"), config=config) for _ in range(2)]
    for build in builds:
        build.plan_and_apply()
        package = data_dir(build) / "providers" / mirror.address
        assert package.readlink().is_relative_to(config.parent)


def test_a_plugin_cache_of_the_operators_own_is_used(
    cached: MakeCached, cache_root: Path, mirror: Mirror, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    config = tmp_path / "own.rc"
    config.write_text(f'plugin_cache_dir = "{own}"\n{mirror.config.read_text()}')
    for _ in range(2):
        cached(mirror.template(tmp_path / "ledger"), config=config).plan_and_apply()
    assert (own / mirror.address).is_dir()
    assert kept(cache_root, TreeKind.PACKAGES) == []


# Several at once.


@pytest.fixture
def spawn(cache_root: Path, tmp_path: Path, terraform: Path) -> Iterator[Spawn]:
    """Return a starter of processes that initialize templates in directories."""
    started: list[subprocess.Popen[str]] = []

    def spawn(
        mirror: Mirror, *directories: Path, binary: Path = terraform
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, HERE / "initializer.py", cache_root, binary, *directories],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(HERE.parents[2]),
                "HOME": str(tmp_path),
                "CHECKPOINT_DISABLE": "1",
                "TF_CLI_CONFIG_FILE": str(mirror.config),
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.wait(DEADLINE_S)
        if process.stderr is not None:
            process.stderr.close()


def _directories(mirror: Mirror, root: Path, count: int) -> list[Path]:
    """Unpacked templates, all different, that need the same provider."""
    directories = []
    for number in range(count):
        directory = root / f"template{number}"
        directory.mkdir()
        (directory / "main.tf").write_text(mirror.template(root / f"ledger{number}"))
        directories.append(directory)
    return directories


@pytest.fixture(scope="session")
def large_mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    return make_mirror(tmp_path_factory.mktemp("large"), provider_bytes=100 * MEGABYTE)


@pytest.mark.timeout(300)
def test_twenty_inits_at_once_fetch_a_large_provider_once(
    spawn: Spawn, large_mirror: Mirror, cache_root: Path, tmp_path: Path
) -> None:
    directories = _directories(large_mirror, tmp_path, 20)
    processes = [spawn(large_mirror, *directories[part::4]) for part in range(4)]
    ended = [
        (process.communicate(timeout=DEADLINE_S)[1], process.returncode) for process in processes
    ]
    assert ended == [("", 0)] * 4
    packages = [large_mirror.package_in(path / ".terraform") for path in directories]
    (stored,) = kept(cache_root, TreeKind.PACKAGES)
    inode = (stored / "tree" / large_mirror.binary).stat().st_ino
    assert {package.stat().st_ino for package in packages} == {inode}
    assert len(kept(cache_root)) == 20


@pytest.fixture
def half_way(terraform: Path, mirror: Mirror, tmp_path: Path) -> Path:
    """A Terraform that unpacks half a provider into its plugin cache, and hangs."""
    path = tmp_path / "half-way-terraform"
    path.write_text(f"""#!/bin/sh
if [ "$1" = version ]; then exec {terraform} "$@"; fi
package="$TF_PLUGIN_CACHE_DIR/{mirror.address}"
mkdir -p "$package"
head -c 2000000 /dev/zero > "$package/{mirror.binary}"
touch {tmp_path}/reached
exec sleep 600
""")
    path.chmod(0o700)
    return path


@pytest.fixture
def killed_half_way(spawn: Spawn, half_way: Path, mirror: Mirror, tmp_path: Path) -> list[Path]:
    """Directories of templates; the worker that initialized the first was killed meanwhile."""
    directories = _directories(mirror, tmp_path, 3)
    victim = spawn(mirror, directories[0], binary=half_way)
    wait_until((tmp_path / "reached").exists, "the init to be half-way")
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=DEADLINE_S)
    return directories


def test_a_worker_killed_in_the_middle_of_an_init_leaves_no_package(
    killed_half_way: list[Path], cache_root: Path
) -> None:
    assert kept(cache_root, TreeKind.PACKAGES) == kept(cache_root) == []


def test_after_a_worker_was_killed_in_an_init_the_others_go_on(
    killed_half_way: list[Path], spawn: Spawn, mirror: Mirror, cache_root: Path
) -> None:
    others = spawn(mirror, *killed_half_way[1:])
    assert (others.communicate(timeout=DEADLINE_S)[1], others.returncode) == ("", 0)
    (stored,) = kept(cache_root, TreeKind.PACKAGES)
    lock = read_lock_file(killed_half_way[1] / ".terraform.lock.hcl")
    assert package_hash(stored / "tree") in lock[SOURCE].hashes


def test_what_a_killed_worker_left_is_swept(
    killed_half_way: list[Path], spawn: Spawn, mirror: Mirror, cache_root: Path
) -> None:
    (draft,) = (cache_root / "drafts").iterdir()
    os.utime(draft, (1, 1))
    spawn(mirror, killed_half_way[1]).communicate(timeout=DEADLINE_S)
    assert list((cache_root / "drafts").iterdir()) == []


def test_who_waits_for_another_init_can_be_interrupted(
    cached: MakeCached, cache_root: Path
) -> None:
    cache = InitCache(TreeStore(cache_root, max_bytes=10**9))
    build = cached(PLAIN)
    with cache._store.lock(build.context.interrupt, patience=timedelta(minutes=1)):
        build.context.interrupt.request(InterruptReason.CANCEL)
        with pytest.raises(EngineError, match="canceled"):
            build.engine.init(build.context)
