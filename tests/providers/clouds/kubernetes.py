"""A stand-in of the provider ``hashicorp/kubernetes``."""

from __future__ import annotations

from tests.providers.clouds.made import cloud, thing
from tests.providers.findings import Findings
from tests.providers.schema import (
    BOOL,
    NUMBER,
    STRING,
    STRING_MAP,
    STRINGS,
    Nested,
    Part,
    Values,
    optional,
    required,
)
from tests.providers.server import serve


def _block(name: str, *parts: Part) -> Nested:
    return Nested(name=name, most=1, parts=parts)


def _name(_findings: Findings, values: Values) -> None:
    # As the real one does: objects of all types in a namespace may have the same id.
    metadata = values["metadata"][0]
    values["id"] = f"{metadata['namespace'] or 'default'}/{metadata['name']}"


_METADATA = _block(
    "metadata",
    required("name", STRING),
    optional("namespace", STRING),
    optional("labels", STRING_MAP),
    optional("annotations", STRING_MAP),
)
_SELECTOR = _block("selector", optional("match_labels", STRING_MAP))
_CONTAINER = Nested(
    name="container",
    parts=(
        required("name", STRING),
        optional("image", STRING),
        optional("command", STRINGS),
        Nested(name="env", parts=(required("name", STRING), optional("value", STRING))),
        _block("resources", optional("requests", STRING_MAP), optional("limits", STRING_MAP)),
        Nested(
            name="volume_mount",
            parts=(
                required("mount_path", STRING),
                required("name", STRING),
                optional("read_only", BOOL),
            ),
        ),
    ),
)
_VOLUME = Nested(
    name="volume",
    parts=(
        required("name", STRING),
        _block("persistent_volume_claim", required("claim_name", STRING)),
    ),
)
_CLAIM = _block(
    "spec",
    required("access_modes", STRINGS),
    optional("storage_class_name", STRING),
    _block("resources", required("requests", STRING_MAP)),
)
_POD = _block("spec", _CONTAINER, _VOLUME)
_DEPLOYMENT = _block(
    "spec",
    optional("replicas", NUMBER),
    _SELECTOR,
    _block("template", _METADATA, _POD),
)

PROVIDER = cloud(
    "registry.terraform.io/hashicorp/kubernetes",
    settings=(optional("config_path", STRING),),
    resources=(
        thing(
            "kubernetes_persistent_volume_claim",
            optional("wait_until_bound", BOOL, default=True),
            _METADATA,
            _CLAIM,
            create=_name,
        ),
        thing("kubernetes_pod", _METADATA, _POD, create=_name),
        thing("kubernetes_deployment", _METADATA, _DEPLOYMENT, create=_name),
        thing("kubernetes_secret", optional("data", STRING_MAP), _METADATA, create=_name),
    ),
)


def main() -> None:
    """Serve the provider until Terraform is done with it."""
    serve(PROVIDER)
