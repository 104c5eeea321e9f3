"""Where a worker runs as it is shipped: under a systemd, or in a container."""

from __future__ import annotations

import resource
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import yaml

from tests.deployment.image import podman
from tests.deployment.root import BUILD, CLI_CONFIG, CLOUD, LEDGER, NSPAWN, run, run_in
from tests.harness.cluster import DEPLOY, REPOSITORY, Cluster
from tests.harness.waiting import NeverHappenedError, wait_until
from worker.process.children import free_address, is_ready

UNIT = "provisionerd-worker.service"
READY_S = 90


class Host(Protocol):
    """One deployed worker."""

    address: str  #: where its metrics are

    def worker(self) -> psutil.Process:
        """The worker's main process.

        Raises:
            psutil.NoSuchProcess: there is none now.
        """

    def processes(self) -> list[psutil.Process]:
        """All processes there that the worker's user has."""

    def stop(self) -> None:
        """Tell the supervisor to end the worker, and wait for it."""

    def said(self) -> str:
        """What the worker and its supervisor have logged."""


def kill_worker(host: Host) -> None:
    """SIGKILL to the worker alone; return when its supervisor has started another."""
    killed = host.worker()
    killed.kill()
    wait_until(lambda: _is_another(host, killed), "another worker", within_s=READY_S)
    wait_until_ready(host)


def wait_until_ready(host: Host) -> None:
    try:
        wait_until(lambda: is_ready(host.address), "a worker to become ready", within_s=READY_S)
    except NeverHappenedError as error:
        raise NeverHappenedError(f"{error}: {host.said()[-3000:]}") from error


def strays(host: Host) -> list[str]:
    """Command lines of what runs there beside the worker and its own processes."""
    worker = host.worker()
    own = {worker.pid, *(child.pid for child in worker.children(recursive=True))}
    found = []
    for process in host.processes():
        with suppress(psutil.NoSuchProcess):
            if process.pid not in own and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def _is_another(host: Host, killed: psutil.Process) -> bool:
    try:
        return host.worker() != killed
    except psutil.NoSuchProcess:
        return False


def _settings(cluster: Cluster, address: str) -> dict[str, str]:
    """What a deployment is told of its servers; everything else is as it is shipped."""
    return {
        "PROVISIONERD_DATABASE_URL": cluster.database_url,
        "PROVISIONERD_REDIS_URL": cluster.redis.url,
        "PROVISIONERD_TERRAFORM_CLI_CONFIG_FILE": CLI_CONFIG,
        "PROVISIONERD_SANDBOX_PATHS": f"{CLOUD}:rw,{LEDGER}",
        # They share this machine's network, on which others may have the usual port.
        "PROVISIONERD_METRICS_ADDRESS": address,
    }


@dataclass(kw_only=True)
class Machine:
    """A Debian with its own systemd, which runs the shipped unit."""

    leader: psutil.Process
    address: str

    def worker(self) -> psutil.Process:
        inside = int(self.run("systemctl", "show", "--property=MainPID", "--value", UNIT))
        for process in self.processes():
            with suppress(OSError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
                if int(line.split()[-1]) == inside:
                    return process
        raise psutil.NoSuchProcess(inside)

    def processes(self) -> list[psutil.Process]:
        user = int(self.run("id", "--user", "provisionerd"))
        found = []
        for process in self.leader.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.uids().real == user:
                    found.append(process)
        return found

    def stop(self) -> None:
        self.run("systemctl", "stop", UNIT, within_s=300)

    def said(self) -> str:
        return self.run("journalctl", "--no-pager", "--unit", UNIT)

    def run(self, *command: str, within_s: float = 60) -> str:
        """Run a program in there."""
        into = ("nsenter", f"--target={self.leader.pid}", "--mount", "--uts", "--ipc", "--pid")
        return run(*into, "--", *command, within_s=within_s)


def make_machine(base: Path) -> Path:
    """Return a root of its own with the daemon installed as ``docs/deployment.md`` says."""
    root = BUILD / "machine"
    if not root.exists():
        run("cp", "--archive", base, root.with_suffix(".draft"))
        root.with_suffix(".draft").rename(root)
    script = """
        cd /srv/source
        [ -e /opt/provisionerd ] || python3 -m venv /opt/provisionerd
        pip=/opt/provisionerd/bin/pip
        $pip install --quiet --require-hashes --requirement deploy/docker/requirements.lock
        cp -r pyproject.toml README.md LICENSE db quota provisioner worker chattool cli /tmp/
        mkdir -p /tmp/deploy
        cp -r deploy/ledger deploy/templates /tmp/deploy/
        cd /tmp
        $pip install --quiet --force-reinstall --no-deps --no-build-isolation .
        cd /srv/source
        install -D --mode=0644 deploy/systemd/provisionerd.sysusers \
            /usr/lib/sysusers.d/provisionerd.conf
        systemd-sysusers
        install --mode=0644 deploy/systemd/*.service /etc/systemd/system/
    """
    run_in(root, script, f"--bind-ro={REPOSITORY}:/srv/source", "--tmpfs=/tmp")
    return root


@contextmanager
def running_machine(root: Path, cluster: Cluster) -> Iterator[Machine]:
    """The machine with the unit enabled and the worker ready; powered off with the block."""
    address = free_address()
    example = (DEPLOY / "systemd/provisionerd.env.example").read_text()
    given = [f"{name}={value}" for name, value in _settings(cluster, address).items()]
    folder = root / "etc/provisionerd"
    folder.mkdir(exist_ok=True)
    (folder / "provisionerd.env").write_text("\n".join([example, *given, ""]))
    command = [
        *NSPAWN,
        f"--directory={root}",
        f"--machine=deploy-test-{uuid.uuid4().hex[:8]}",
        f"--bind={tempfile.mkdtemp(dir=cluster.directory)}:/var/lib/provisionerd",
        f"--bind={cluster.ledger}:{CLOUD}",
        "--console=pipe",
        "--boot",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as nspawn:
        try:
            machine = Machine(leader=_leader_of(nspawn.pid), address=address)
            wait_until(lambda: _is_up(machine), "the machine to be up")
            machine.run("systemctl", "start", UNIT)
            wait_until_ready(machine)
            yield machine
        finally:
            nspawn.terminate()  # it ends the machine at once: nothing in there is of value
            nspawn.wait(timeout=60)


def _leader_of(nspawn: int) -> psutil.Process:
    def found() -> list[psutil.Process]:
        below = psutil.Process(nspawn).children(recursive=True)
        return [child for child in below if "systemd" in _program(child).removeprefix(exe)]

    exe = psutil.Process(nspawn).exe()
    wait_until(found, "the machine's systemd")
    return found()[0]


def _program(process: psutil.Process) -> str:
    """Return the program of a process; empty if it has just ended."""
    try:
        return process.exe()
    except psutil.Error:
        return ""


def _is_up(machine: Machine) -> bool:
    try:
        return bool(machine.run("systemctl", "is-active", "multi-user.target"))
    except AssertionError:
        return False


@dataclass(kw_only=True)
class Container:
    """A container of the image."""

    name: str
    address: str
    grace_s: int  #: between SIGTERM and SIGKILL

    def worker(self) -> psutil.Process:
        children = psutil.Process(self._first()).children()
        for child in children:
            if "worker" in child.cmdline():
                return child
        raise psutil.NoSuchProcess(0)

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self._first()).children(recursive=True)

    def stop(self) -> None:
        podman("stop", f"--time={self.grace_s}", self.name, within_s=300)

    def said(self) -> str:
        done = podman("logs", "--tail=100", self.name)
        return f"{done}{podman('inspect', '--format={{json .State}}', self.name)}"

    def run(self, *command: str) -> str:
        """Run a program in there, as the worker's user."""
        return podman("exec", self.name, *command)

    def _first(self) -> int:
        return int(podman("inspect", "--format={{.State.Pid}}", self.name))


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What a deployment file says of the worker's container, in podman's words."""

    options: tuple[str, ...]
    command: tuple[str, ...]
    grace_s: int


def compose_worker() -> Shipped:
    """The worker of ``compose.yaml``."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker-1"]
    return Shipped(
        options=(
            f"--hostname={service['hostname']}",
            *_hardened(read_only=service["read_only"], drop=service["cap_drop"]),
            *(f"--security-opt={option}" for option in service["security_opt"]),
            *(f"--tmpfs={folder}" for folder in service["tmpfs"]),
            f"--memory={service['mem_limit']}",
            f"--pids-limit={service['pids_limit']}",
            f"--restart={service['restart']}",
        ),
        command=tuple(service["command"]),
        grace_s=int(service["stop_grace_period"].removesuffix("s")),
    )


def kubernetes_worker() -> Shipped:
    """The worker of the Deployment; its volumes are one that stays and one in memory."""
    base = DEPLOY / "kubernetes/base"
    pod = yaml.safe_load((base / "worker.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    context = container["securityContext"]
    user = pod["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    (generator,) = yaml.safe_load((base / "kustomization.yaml").read_text())["configMapGenerator"]
    return Shipped(
        options=(
            *_hardened(
                read_only=context["readOnlyRootFilesystem"], drop=context["capabilities"]["drop"]
            ),
            "--security-opt=no-new-privileges",
            f"--user={user['runAsUser']}:{user['runAsGroup']}",
            "--tmpfs=/tmp",
            f"--memory={container['resources']['limits']['memory'].replace('Gi', 'g')}",
            "--restart=always",
            *(f"--env={literal}" for literal in generator["literals"]),
        ),
        command=tuple(container["args"]),
        grace_s=pod["terminationGracePeriodSeconds"],
    )


def _hardened(*, read_only: bool, drop: list[str]) -> list[str]:
    dropped = [f"--cap-drop={name}" for name in drop]
    return [f"--read-only={str(read_only).lower()}", "--read-only-tmpfs=false", *dropped]


@contextmanager
def running_container(image: str, cluster: Cluster, shipped: Shipped) -> Iterator[Container]:
    """A container as a deployment describes it, its worker ready; removed with the block."""
    name = f"deploy-test-{uuid.uuid4().hex[:8]}"
    address = free_address()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    container = Container(name=name, address=address, grace_s=shipped.grace_s)
    try:
        podman(
            "run",
            *shipped.options,
            "--detach",
            f"--name={name}",
            "--network=host",
            "--no-healthcheck",  # it would take a systemd out here
            # What podman asks for by itself may be more than this machine lets it have.
            f"--ulimit=nofile={files}:{files}",
            "--ulimit=nproc=4096:4096",
            f"--volume={name}:/var/lib/provisionerd",
            f"--volume={cluster.ledger}:{CLOUD}",
            *(f"--env={key}={value}" for key, value in _settings(cluster, address).items()),
            image,
            *shipped.command,
        )
        wait_until_ready(container)
        yield container
    finally:
        podman("rm", "--force", "--time=0", "--volumes", name)
        podman("volume", "rm", "--force", name)
