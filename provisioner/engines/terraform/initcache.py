"""Initialised template directories, kept so that a template is initialised once on a host.

What an ``init`` made (``.terraform`` and the lock file) is kept under everything that it was
made of: the template's files, the binary, its CLI configuration, the platform. A build that
finds it starts no ``init``. So the builds of a template version keep the providers and modules
of its first init here, also where the template leaves the version open.

A kept directory is compared with its manifest before use. The provider binaries in it are
compared by their size and time only: Terraform compares them with the lock file at ``plan``
(tried: with one byte more it says "Required plugins are not installed ... does not match any
of the checksums"), and then ``recover`` makes the build go on with a real ``init``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
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
from provisioner.engines.terraform.cache.plugins import PluginView, providers_in, show_packages
from provisioner.engines.terraform.cache.trees import copy_tree
from provisioner.engines.terraform.cache.treestore import Shelf, TreeStore
from provisioner.engines.terraform.state import providers_of
from provisioner.engines.terraform.timings import TimingLog

log = structlog.get_logger("provisioner")

Install = Callable[[BuildContext], tuple[Timing, ...]]
"""Run the real ``init`` in the context's directory."""

_NOTES = "provisionerd"  # our folder in .terraform
_KEY_FILE, _LOCK_COPY = "key", "lock.hcl"
_OPERATORS_OWN = re.compile(r"^\s*plugin_cache_dir\s*=", re.MULTILINE)
_NOT_INITIALISED = (
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
    """Keeps initialised directories and provider packages below ``root``.

    Safe for any number of builds in any number of processes. ``max_bytes`` bounds both together;
    what was not used for longest goes first.
    """

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._store = TreeStore(root, max_bytes=max_bytes)

    def initialise(self, key: str, context: BuildContext, install: Install) -> tuple[Timing, ...]:
        """Take what is kept under ``key``, or else run ``install`` and keep what it made.

        Real inits are done one at a time, so that what several builds lack is fetched once.

        Raises:
            EngineError: ``install`` failed or was interrupted.
            OSError: the directory cannot be written.
        """
        try:
            timings = self._restore(key, context)
            if timings is not None:
                return timings
            with self._store.alone(context.interrupt, patience=context.timeout / 2):
                return self._restore(key, context) or self._install(key, context, install)
        except OSError as error:
            # A cache that cannot be used must not fail a build.
            log.warning("init_cache.failed", error=str(error))
            workdir.undo_init(context.directory, context.files)
            return install(context)

    def recover(self, explanation: str, context: BuildContext, install: Install) -> bool:
        """Initialise for real if a plan failed because of what the cache gave; tell whether.

        Raises:
            EngineError: ``install`` failed or was interrupted.
            OSError: the directory cannot be written.
        """
        if not any(text in explanation for text in _NOT_INITIALISED):
            return False
        notes = _notes(context.directory)
        try:
            key = (notes / _KEY_FILE).read_text()
        except OSError:  # it was a real init
            return False
        context.log(LogLevel.WARN, "What the cache gave is of no use; initialising again")
        self._store.drop(Shelf.INITIALISED, key)
        workdir.undo_init(context.directory, context.files)
        self.initialise(key, context, install)
        return True

    def _restore(self, key: str, context: BuildContext) -> tuple[Timing, ...] | None:
        needed = providers_of(context.state) if context.state else frozenset()
        started_at = datetime.now(UTC)
        facts = self._store.fetch(
            Shelf.INITIALISED,
            key,
            context.directory / workdir.DATA_DIR,
            accept=lambda facts: needed <= set(facts.get("providers", "").split()),
        )
        if facts is None:
            return None
        for package in facts.get("packages", "").split():
            self._store.touch(Shelf.PACKAGES, package)
        notes = _notes(context.directory)
        (notes / _KEY_FILE).write_text(key)
        if (notes / _LOCK_COPY).exists():
            shutil.copyfile(notes / _LOCK_COPY, context.directory / workdir.LOCK_FILE)
        context.log(LogLevel.INFO, "Initialised from cache")
        return TimingLog(stage=TimingStage.INIT).finished(started_at, datetime.now(UTC))

    def _install(self, key: str, context: BuildContext, install: Install) -> tuple[Timing, ...]:
        lock_file = context.directory / workdir.LOCK_FILE
        with self._store.draft() as draft:
            timings, packages = self._installed(draft, context, install)
            data_dir = context.directory / workdir.DATA_DIR
            if not data_dir.is_dir():
                return timings
            facts = {
                "providers": " ".join(sorted(providers_in(data_dir))),
                "packages": " ".join(packages),
            }
            try:
                copy_tree(data_dir, draft / "tree")
                (draft / "tree" / _NOTES).mkdir()
                if lock_file.exists() and not workdir.has_own_lock_file(
                    context.directory, context.files
                ):
                    shutil.copyfile(lock_file, draft / "tree" / _NOTES / _LOCK_COPY)
                self._store.publish(Shelf.INITIALISED, key, draft / "tree", facts=facts)
            except OSError as error:
                log.warning("init_cache.failed", error=str(error))
        return timings

    def _installed(
        self, draft: Path, context: BuildContext, install: Install
    ) -> tuple[tuple[Timing, ...], tuple[str, ...]]:
        """Run the real init with the store's packages, twice if one of them was forged."""
        config = cli_config(context.environment)
        if "TF_PLUGIN_CACHE_DIR" in context.environment or _OPERATORS_OWN.search(config):
            return install(context), ()
        lock_file = context.directory / workdir.LOCK_FILE
        locked = read_lock_file(lock_file)
        data_dir = context.directory / workdir.DATA_DIR
        origin = hashlib.sha256(os.fsencode(config)).hexdigest()
        view = show_packages(self._store, draft / "plugins", origin=origin, locked=locked)
        timings = install(_with(context, view))
        forged = view.forged(data_dir, read_lock_file(lock_file))
        if forged:
            log.warning("init_cache.forged", packages=forged)
            view.drop(forged)
            workdir.undo_init(context.directory, context.files)
            view = show_packages(self._store, draft / "again", origin=origin, locked=locked)
            timings = install(_with(context, view))
        return timings, view.settle(data_dir)


def _with(context: BuildContext, view: PluginView) -> BuildContext:
    return dataclasses.replace(context, environment={**context.environment, **view.environment})


def _notes(directory: Path) -> Path:
    return directory / workdir.DATA_DIR / _NOTES
