"""Instances of resources, as a plan or a state would have them."""

from __future__ import annotations

from provisioner.engines.terraform.conversion.instances import Instance


def managed(address: str, /, *, key: int | str | None = None, **attributes: object) -> Instance:
    """Return an instance of a managed resource with an address such as ``module.m.disk.home``."""
    module, type_, name = _parts(address)
    return Instance(module=module, type=type_, name=name, key=key, attributes=attributes)


def read(address: str, /, **attributes: object) -> Instance:
    """Return a data source with an address such as ``coder_parameter.region``."""
    module, type_, name = _parts(address)
    return Instance(mode="data", module=module, type=type_, name=name, attributes=attributes)


def _parts(address: str) -> tuple[str, str, str]:
    rest, _, name = address.rpartition(".")
    module, _, type_ = rest.rpartition(".")
    return module, type_, name
