"""The rule that names of declarations are unique, and its message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from provisioner.engines.terraform.conversion.errors import ConversionError


def check_unique(what: str, names: Sequence[str]) -> None:
    """Refuse names that occur more than once.

    Raises:
        ConversionError: it lists them.
    """
    repeated = [f'"{name}"' for name, times in Counter(names).items() if times > 1]
    if repeated:
        verb = "appears" if len(repeated) == 1 else "appear"
        raise ConversionError(
            f"{what} names must be unique but {_listed(repeated)} {verb} multiple times"
        )


def _listed(names: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
