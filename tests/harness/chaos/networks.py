"""Network namespaces: a host in one reaches the servers by one link, which can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

NUMBERS = 16384  #: of the networks that fit into 10.213.0.0/16, four addresses each
PER_RUN = 2


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network namespace, and the link that leads to it."""

    name: str  #: of the namespace, and of the near end of the link
    gateway: str  #: the address at which it finds the servers
    address: str  #: its own

    @property
    def entry(self) -> Sequence[str]:
        """What the command line of a process in it begins with."""
        return ("nsenter", f"--net=/run/netns/{self.name}", "--")

    def cut(self) -> None:
        """Let nothing through. Nobody is told: connections hang."""
        _ip(f"link set {self.name} down")

    def mend(self) -> None:
        """Let everything through again."""
        _ip(f"link set {self.name} up")

    def close(self) -> None:
        """Remove it; may be repeated."""
        _ip(f"link del {self.name}")
        _ip(f"netns del {self.name}")


def made_network(index: int) -> Network | None:
    """Make a network; None where that is not allowed.

    Args:
        index: which of this process's networks it is, from 0 to 1.
    """
    if not all(map(shutil.which, ("ip", "nsenter"))):
        return None
    number = (os.getpid() * PER_RUN + index) % NUMBERS
    near, far = (f"10.213.{number // 64}.{number % 64 * 4 + end}" for end in (1, 2))
    network = Network(name=f"pd{number}", gateway=near, address=far)
    commands = (
        f"netns add {network.name}",
        f"link add {network.name} type veth peer name far netns {network.name}",
        f"addr add {near}/30 dev {network.name}",
        f"link set {network.name} up",
        f"-n {network.name} addr add {far}/30 dev far",
        f"-n {network.name} link set far up",
        f"-n {network.name} link set lo up",
    )
    if all(map(_ip, commands)):
        return network
    network.close()
    return None


def _ip(command: str) -> bool:
    done = subprocess.run(["ip", *command.split()], check=False, capture_output=True)
    return done.returncode == 0
