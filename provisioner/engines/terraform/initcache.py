"""Initialized template directories, kept so that a host initializes a template once.

The result of an ``init`` (``.terraform`` and the lock file) is stored under a key made from all
its inputs: the template's files, the binary, its CLI configuration, the platform. A build that
finds its key runs no ``init``. So all builds of a template version on this host use the providers
and modules of its first init, even if the template does not pin their versions.

A stored directory is compared with its manifest before use. The provider binaries in it are only
compared by size and time: Terraform compares them with the lock file at ``plan`` (tested: with one
byte more it says "Required plugins are not installed ... does not match any of the checksums"),
and then ``recover`` lets the build go on with a real ``init``.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from db.jobs.results import Timing
from db.schema.enums import LogLevel, TimingStage
from provisioner.engines.port import BuildContext
from provisioner.engines.terraform import files as workdir
from provisioner.engines.terraform.cache.initkey import cli_config
from provisioner.engines.terraform.cache.lockfile import read_lock_file
from provisioner.engines.terraform.cache.plugins import (
    PluginView,
    Settled,
    Sources,
    providers_in,
    show_packages,
)
from provisioner.engines.terraform.cache.treestore import TreeKind, TreeStore
from provisioner.engines.terraform.kept import put_modules
from provisioner.engines.terraform.state import providers_of
from provisioner.engines.terraform.timings import TimingLog

log = structlog.get_logger("provisioner")

Install = Callable[[BuildContext], tuple[Timing, ...]]
"""Run the real ``init`` in the context's directory."""

_NOTES = "provisionerd"  # our folder in .terraform
_KEY_FILE, _LOCK_COPY = "key", "lock.hcl"
_OWN_PLUGIN_CACHE = re.compile(r"^\s*plugin_cache_dir\s*=", re.MULTILINE)
_NOT_INITIALIZED = (
    "Required plugins are not installed",
    "Inconsistent dependency lock file",
    "Module not installed",
    "Module source has changed",
    "Module version requirements have changed",
    "Backend initialization required",
    "terraform init",
    "tofu init",
)


class InitCache:
    """Keeps initialized directories and provider packages in a store.

    Safe for any number of builds in any number of processes.
    """

    def __init__(self, store: TreeStore) -> None:
        self._store = store

    def initialize(self, key: str, context: BuildContext, install: Install) -> tuple[Timing, ...]:
        """Copy the directory under ``key``, or else run ``install`` and store its result.

        Real inits run one at a time, so that a package which several builds need is downloaded
        once.

        Raises:
            EngineError: ``install`` failed or was interrupted.
            OSError: the directory cannot be written.
        """
        try:
            timings = self._restore(key, context)
            if timings is not None:
                return timings
            with self._store.lock(context.interrupt, patience=context.timeout / 2):
                return self._restore(key, context) or self._install(key, context, install)
        except OSError as error:
            # A cache that cannot be used must not fail a build.
            log.warning("init_cache.failed", error=str(error))
            _start_again(context)
            return install(context)

    def install_afresh(self, context: BuildContext, install: Install) -> tuple[Timing, ...]:
        """Run ``install`` with the store's provider packages, and keep no directory.

        Raises:
            EngineError: ``install`` failed or was interrupted.
            OSError: the directory cannot be written.
        """
        try:
            with (
                self._store.lock(context.interrupt, patience=context.timeout / 2),
                self._store.draft() as draft,
            ):
                return self._installed(draft, context, install)[0]
        except OSError as error:
            log.warning("init_cache.failed", error=str(error))
            _start_again(context)
            return install(context)

    def recover(self, explanation: str, context: BuildContext, install: Install) -> bool:
        """Run a real init if a plan failed because of the cached directory; return whether it did.

        Raises:
            EngineError: ``install`` failed or was interrupted.
            OSError: the directory cannot be written.
        """
        if not any(text in explanation for text in _NOT_INITIALIZED):
            return False
        notes = _notes(context.directory)
        try:
            key = (notes / _KEY_FILE).read_text()
        except OSError:  # it was a real init
            return False
        context.log(LogLevel.WARN, "The cached directory cannot be used; initializing again")
        self._store.drop(TreeKind.INITIALIZED, key)
        workdir.undo_init(context.directory, context.files)
        self.initialize(key, context, install)
        return True

    def _restore(self, key: str, context: BuildContext) -> tuple[Timing, ...] | None:
        needed = providers_of(context.state) if context.state else frozenset()
        started_at = datetime.now(UTC)
        facts = self._store.fetch(
            TreeKind.INITIALIZED,
            key,
            context.directory / workdir.DATA_DIR,
            accept=lambda facts: needed <= set(facts.get("providers", "").split()),
        )
        if facts is None:
            return None
        for package in facts.get("packages", "").split():
            self._store.touch(TreeKind.PACKAGES, package)
        notes = _notes(context.directory)
        (notes / _KEY_FILE).write_text(key)
        if (notes / _LOCK_COPY).exists():
            shutil.copyfile(notes / _LOCK_COPY, context.directory / workdir.LOCK_FILE)
        context.log(LogLevel.INFO, "Initialized from cache")
        return TimingLog(stage=TimingStage.INIT).finished(started_at, datetime.now(UTC))

    def _install(self, key: str, context: BuildContext, install: Install) -> tuple[Timing, ...]:
        with self._store.draft() as draft:
            timings, settled = self._installed(draft, context, install)
            if (context.directory / workdir.DATA_DIR).is_dir() and not settled.refused:
                try:
                    self._publish(key, context, draft / "tree", settled.keys)
                except OSError as error:
                    log.warning("init_cache.failed", error=str(error))
        return timings

    def _publish(
        self, key: str, context: BuildContext, tree: Path, packages: tuple[str, ...]
    ) -> None:
        data_dir = context.directory / workdir.DATA_DIR
        self._store.copy(data_dir, tree)
        (tree / _NOTES).mkdir()
        lock_file = workdir.completed_lock_file(context.directory, context.files)
        if lock_file is not None:
            (tree / _NOTES / _LOCK_COPY).write_bytes(lock_file)
        facts = {
            "providers": " ".join(sorted(providers_in(data_dir))),
            "packages": " ".join(packages),
        }
        self._store.publish(TreeKind.INITIALIZED, key, tree, facts=facts)

    def _installed(
        self, draft: Path, context: BuildContext, install: Install
    ) -> tuple[tuple[Timing, ...], Settled]:
        """Run the real init with the store's packages, twice if one of them was forged."""
        put_modules(context)
        config = cli_config(context.environment)
        if "TF_PLUGIN_CACHE_DIR" in context.environment or _OWN_PLUGIN_CACHE.search(config):
            return install(context), Settled(keys=(), refused=())
        lock_file = context.directory / workdir.LOCK_FILE
        locked = read_lock_file(lock_file)
        data_dir = context.directory / workdir.DATA_DIR
        sources = Sources(config=config)
        view = show_packages(self._store, draft / "first", sources=sources, locked=locked)
        timings = install(_with(context, view))
        forged = view.forged(data_dir, read_lock_file(lock_file))
        if forged:
            log.warning("init_cache.forged", packages=forged)
            view.drop(forged)
            _start_again(context)
            view = show_packages(self._store, draft / "again", sources=sources, locked=locked)
            timings = install(_with(context, view))
        settled = view.settle(data_dir, read_lock_file(lock_file))
        if settled.refused:
            log.warning("init_cache.unverified", packages=settled.refused)
        return timings, settled


def _start_again(context: BuildContext) -> None:
    """Undo an init, so that another one starts from the template and the modules of its version."""
    workdir.undo_init(context.directory, context.files)
    put_modules(context)


def _with(context: BuildContext, view: PluginView) -> BuildContext:
    environment = {**context.environment, **view.environment}
    return dataclasses.replace(context, environment=environment, lent=view.lent)


def _notes(directory: Path) -> Path:
    return directory / workdir.DATA_DIR / _NOTES
