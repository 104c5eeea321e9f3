"""What the stand-ins of clouds are made of."""

from __future__ import annotations

from collections.abc import Sequence

from tf.types import Unknown

from tests.providers.findings import Findings
from tests.providers.kinds import DataSource, Judge, Resource, accept, new_id
from tests.providers.schema import IDENTITY, STRING, Field, Part, Values, either
from tests.providers.server import Provider


def cloud(
    address: str,
    *,
    settings: tuple[Field, ...],
    resources: Sequence[Resource],
    data_sources: Sequence[DataSource] = (),
) -> Provider:
    """Return a provider that takes any configuration."""
    return Provider(
        address,
        settings=settings,
        configure=accept,
        data_sources=data_sources,
        resources=resources,
    )


def thing(name: str, *parts: Part, create: Judge = accept) -> Resource:
    """Return a resource by the full name of its type; what it computes is random."""

    def make(findings: Findings, values: Values) -> None:
        for part in parts:
            if values[part.name] is Unknown:
                values[part.name] = new_id()
        create(findings, values)

    return Resource(name=name.partition("_")[2], parts=(IDENTITY, *parts), create=make)


def named() -> tuple[Part, ...]:
    """Return the attributes of a thing that has a name, a random one by default."""
    return (either("name", STRING),)
