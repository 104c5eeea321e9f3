"""What a worker builds with: its folders, sandbox and engines."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

from db.schema.enums import ProvisionerType
from provisioner.build.attempt import BuildLimits, BuildSettings
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Engine
from provisioner.engines.terraform.binary import RELEASE_URL, find_terraform
from provisioner.engines.terraform.cache.cliconfig import settle_cli_config
from provisioner.engines.terraform.cache.treestore import TreeStore
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.initcache import InitCache
from provisioner.engines.terraform.release.download import Progress
from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.paths import SharedPaths, read_needs, read_paths
from provisioner.host.sandbox.port import NoSandbox, Sandbox, SandboxError, SandboxKind
from provisioner.host.sandboxes import Choice, choose_sandbox
from worker.process.platform import platform_of
from worker.settings import Settings, SettingsError


def make_directories(settings: Settings) -> None:
    """Create the folders that a worker needs, if they are missing.

    Raises:
        SettingsError: a folder cannot be created or written.
    """
    # Under root the embedded servers run as another user, who must be able to enter the first.
    folders = (("DATA", settings.data_dir, 0o755), ("WORK", settings.work_root, 0o711))
    for name, folder, mode in folders:
        try:
            probe_directory(folder, mode=mode)
        except OSError as error:
            raise SettingsError(
                f"the folder {folder} cannot be used ({error.strerror}); "
                f"set PROVISIONERD_{name}_DIR to a writable folder"
            ) from error


def probe_directory(folder: Path, *, mode: int = 0o777, data: bytes = b"") -> None:
    """Create the folder if it is missing, and write ``data`` to a temporary file in it.

    File modes do not answer the question: root may write where they forbid it, and nobody can
    write to a full disk.

    Raises:
        OSError: the folder cannot be created or written.
    """
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as probe:
        probe.write(data)


def sandbox_choice(settings: Settings) -> Choice:
    """Return the sandbox for templates, after trying it on this host.

    Raises:
        SettingsError: the settings demand a sandbox, and none works.
    """
    if ProvisionerType.TERRAFORM not in settings.engines:
        return Choice(sandbox=NoSandbox())
    megabyte = 1024**2
    try:
        return choose_sandbox(
            settings.sandbox,
            shared=_shared_paths(settings),
            limits=Limits(
                memory_bytes=settings.job_memory_megabytes * megabyte,
                disk_bytes=settings.job_disk_megabytes * megabyte,
                processes=settings.job_processes,
                open_files=settings.job_open_files,
            ),
        )
    except SandboxError as error:
        raise SettingsError(
            f"PROVISIONERD_SANDBOX is {settings.sandbox}, and no such sandbox works here ({error})"
        ) from error


def _shared_paths(settings: Settings) -> SharedPaths:
    shared = read_paths(settings.sandbox_paths)
    for path in (*shared.readable, *shared.writable):
        if not path.exists():
            raise SettingsError(f"PROVISIONERD_SANDBOX_PATHS names {path}, which does not exist")
    needs = provider_needs(settings)
    return SharedPaths(
        readable=(*shared.readable, *needs.readable),
        writable=(*shared.writable, *needs.writable),
        hidden=(settings.data_dir.absolute(), settings.work_root.absolute()),
        keeps_user=needs.keeps_user,
    )


def provider_needs(settings: Settings) -> SharedPaths:
    """Return what the installer of a provider says that its provider needs of this host.

    Raises:
        SettingsError: what it says cannot be read.
    """
    try:
        return read_needs(settings.terraform_cli_config_file)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def make_engines(
    settings: Settings, *, sandbox: Sandbox | None = None, progress: Progress | None = None
) -> dict[ProvisionerType, Engine]:
    """Return the engines that this worker offers; Terraform is found or fetched.

    Raises:
        TerraformNotFoundError: Terraform is not installed and cannot be fetched.
    """
    engines: dict[ProvisionerType, Engine] = {}
    if ProvisionerType.ECHO in settings.engines:
        engines[ProvisionerType.ECHO] = EchoEngine()
    if ProvisionerType.TERRAFORM in settings.engines:
        engines[ProvisionerType.TERRAFORM] = TerraformEngine(
            locate_terraform(settings, progress=progress),
            grace=timedelta(seconds=settings.interrupt_grace_seconds),
            cache=_init_cache(settings, sandbox or NoSandbox()),
            sandbox=sandbox,
        )
    return engines


def locate_terraform(settings: Settings, *, progress: Progress | None = None) -> Path:
    """Return the path of the binary that builds use; fetch it if there is none.

    Raises:
        TerraformNotFoundError: there is none; the message says where it looked and what to do.
    """
    return find_terraform(
        setting=str(settings.terraform_binary) if settings.terraform_binary else None,
        path=os.environ.get("PATH", ""),
        data_dir=settings.data_dir,
        release_url=settings.terraform_release_url or RELEASE_URL,
        pinned_version=settings.terraform_version,
        pinned_sha256=settings.terraform_sha256,
        progress=progress,
    )


def build_settings(settings: Settings) -> BuildSettings:
    """Return the settings that all builds of this worker share.

    Raises:
        SettingsError: a setting that builds use cannot be used.
    """
    return BuildSettings(
        work_root=settings.work_root,
        host_environment=dict(os.environ),
        passed_names=settings.passed_environment,
        terraform_cli_config_file=_cli_config(settings),
        plugin_cache_dir=settings.plugin_cache_dir,
        platform=platform_of(settings),
        state_reserve_bytes=settings.state_reserve_megabytes * 1024**2,
        max_attempts=settings.max_attempts,
        lease=settings.lease,
        fence=timedelta(seconds=settings.fence_seconds),
        limits=BuildLimits(
            init=timedelta(seconds=settings.init_timeout_seconds),
            plan=timedelta(seconds=settings.plan_timeout_seconds),
            apply=timedelta(seconds=settings.apply_timeout_seconds),
        ),
    )


def _cli_config(settings: Settings) -> Path:
    given = settings.terraform_cli_config_file
    try:
        return settle_cli_config(given, settings.data_dir / "terraform")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the CLI configuration of Terraform cannot be used ({error}); correct"
            " PROVISIONERD_TERRAFORM_CLI_CONFIG_FILE, or unset it to use only registries"
        ) from error


def provider_store(settings: Settings, *, shares_files: bool = True) -> TreeStore | None:
    """Return the store of initialized directories and providers; None if builds share none."""
    if not settings.init_cache_megabytes:
        return None
    return TreeStore(
        settings.data_dir / "cache" / "init",
        max_bytes=settings.init_cache_megabytes * 1024**2,
        shares_files=shares_files,
    )


def _init_cache(settings: Settings, sandbox: Sandbox) -> InitCache | None:
    # Landlock cannot keep the owner of a file from changing it. Builds of root own none.
    is_safe = sandbox.kind is not SandboxKind.LANDLOCK or os.geteuid() == 0
    store = provider_store(settings, shares_files=is_safe)
    return InitCache(store) if store else None
