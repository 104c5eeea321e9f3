"""A stand-in of the provider ``kreuzwerker/docker``."""

from __future__ import annotations

from tests.providers.clouds.made import cloud, named, thing
from tests.providers.schema import (
    BOOL,
    NUMBER,
    STRING,
    STRING_MAP,
    STRINGS,
    Nested,
    computed,
    optional,
    required,
)
from tests.providers.server import serve

_VOLUMES = Nested(
    name="volumes",
    is_set=True,
    parts=(
        required("container_path", STRING),
        optional("volume_name", STRING),
        optional("read_only", BOOL),
    ),
)

PROVIDER = cloud(
    "registry.terraform.io/kreuzwerker/docker",
    settings=(optional("host", STRING),),
    resources=(
        thing(
            "docker_image",
            required("name", STRING),
            computed("image_id", STRING),
            optional("triggers", STRING_MAP),
            Nested(name="build", is_set=True, most=1, parts=(required("context", STRING),)),
        ),
        thing("docker_volume", *named()),
        thing("docker_network", *named()),
        thing(
            "docker_container",
            required("name", STRING),
            required("image", STRING),
            optional("hostname", STRING),
            optional("entrypoint", STRINGS),
            optional("command", STRINGS),
            optional("env", STRINGS),
            optional("cpu_shares", NUMBER),
            optional("memory", NUMBER),
            _VOLUMES,
            Nested(
                name="host",
                is_set=True,
                parts=(required("host", STRING), required("ip", STRING)),
            ),
        ),
    ),
)


def main() -> None:
    """Serve the provider until Terraform is done with it."""
    serve(PROVIDER)
