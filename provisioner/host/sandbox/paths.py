"""The paths of a host that an operator shows to the commands of templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITABLE = ":rw"
"""The end of an entry that commands may also write."""


@dataclass(frozen=True, kw_only=True)
class SharedPaths:
    """Paths that all commands see in addition to their own.

    Args:
        hidden: what they never see, even inside of the other paths.
        keeps_user: commands run as the worker's user, without root's privileges, although the
            worker is root: what they may write belongs to that user.
    """

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    keeps_user: bool = False


def read_paths(entries: Iterable[str]) -> SharedPaths:
    """Return the paths of the operator's list, such as ``/opt/tools`` or ``/srv/cache:rw``.

    Raises:
        ValueError: an entry is not an absolute path, or is the root of the file system.
    """
    readable: list[Path] = []
    writable: list[Path] = []
    for entry in entries:
        path = Path(entry.removesuffix(WRITABLE))
        if not path.is_absolute() or path == Path("/"):
            raise ValueError(f"{entry!r} is not an absolute path below /")
        (writable if entry.endswith(WRITABLE) else readable).append(path)
    return SharedPaths(readable=tuple(readable), writable=tuple(writable))


def read_needs(cli_config: Path | None) -> SharedPaths:
    """Return what the installer of a provider says that its provider needs of this host.

    Next to the CLI configuration ``terraform.rc`` that is ``terraform.rc.sandbox.json``, an object
    with ``readable`` and ``writable`` (lists of paths) and ``keeps_user``. Paths that do not exist
    are left out.

    Raises:
        ValueError: the file is not such an object, or names a path that ``read_paths`` refuses.
    """
    if cli_config is None:
        return SharedPaths()
    needs = cli_config.with_name(f"{cli_config.name}.sandbox.json")
    try:
        return _needs_of(json.loads(needs.read_bytes()))
    except FileNotFoundError:
        return SharedPaths()
    except (OSError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{needs} does not say what a provider needs: {error}") from error


def _needs_of(found: Any) -> SharedPaths:
    writable = [f"{path}{WRITABLE}" for path in found["writable"]]
    named = read_paths([*found["readable"], *writable])
    return SharedPaths(
        readable=_existing(named.readable),
        writable=_existing(named.writable),
        keeps_user=bool(found["keeps_user"]),
    )


def _existing(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.exists())


def without_hidden(paths: Iterable[Path], hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths; in place of one that contains something hidden, what else it contains.

    A path that is named itself inside of a hidden folder is shown, as bubblewrap does.
    """
    for path in paths:
        if path in hidden:
            continue
        if any(other.is_relative_to(path) for other in hidden):
            yield from without_hidden(sorted(path.iterdir()), hidden)
        else:
            yield path
