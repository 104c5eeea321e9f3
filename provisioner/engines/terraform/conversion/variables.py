"""The environment variables that ``coder_env`` gives to an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from provisioner.engines.terraform.conversion.attributes import text
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance

TYPE = "coder_env"
_MERGED: Mapping[str, Callable[[str, str], str]] = {
    "append": lambda old, new: f"{old}:{new}" if old else new,
    "prepend": lambda old, new: f"{new}:{old}" if old else new,
}


def variables_of(instances: Iterable[Instance]) -> dict[str, str]:
    """Return the variables, merged in the given order as each one's ``merge_strategy`` says.

    Raises:
        ConversionError: one is defined twice whose strategy is "error".
    """
    merged: dict[str, str] = {}
    for instance in instances:
        name = text(instance.attributes, "name")
        merged[name] = _value(instance, name, merged)
    return merged


def _value(instance: Instance, name: str, merged: Mapping[str, str]) -> str:
    new = text(instance.attributes, "value")
    strategy = text(instance.attributes, "merge_strategy")
    if name in merged and strategy == "error":
        raise ConversionError(
            f'duplicate env var "{name}": merge_strategy is "error" but variable is already defined'
        )
    if name in merged and strategy in _MERGED:
        return _MERGED[strategy](merged[name], new)
    return new
