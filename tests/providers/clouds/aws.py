"""A stand-in of the provider ``hashicorp/aws``."""

from __future__ import annotations

from tests.providers.clouds.made import cloud, thing
from tests.providers.findings import Findings
from tests.providers.kinds import DataSource
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    STRING_MAP,
    STRINGS,
    Nested,
    Values,
    computed,
    optional,
    required,
)
from tests.providers.server import serve


def _find_image(values: Values) -> None:
    values["id"] = "ami-0123456789abcdef0"


def _start(_findings: Findings, values: Values) -> None:
    number = values["id"].replace("-", "")[:17]
    values |= {
        "id": f"i-{number}",
        "arn": f"arn:aws:ec2:eu-central-1:123456789012:instance/i-{number}",
        "private_ip": "10.0.0.10",
    }


PROVIDER = cloud(
    "registry.terraform.io/hashicorp/aws",
    settings=(optional("region", STRING),),
    data_sources=(
        DataSource(
            name="ami",
            fill=_find_image,
            parts=(
                IDENTITY,
                optional("most_recent", BOOL),
                optional("owners", STRINGS),
                Nested(
                    name="filter",
                    is_set=True,
                    parts=(required("name", STRING), required("values", STRINGS)),
                ),
            ),
        ),
    ),
    resources=(
        thing(
            "aws_instance",
            required("ami", STRING),
            required("instance_type", STRING),
            optional("availability_zone", STRING),
            optional("user_data", STRING),
            optional("tags", STRING_MAP),
            computed("arn", STRING),
            computed("private_ip", STRING),
            Nested(
                name="root_block_device",
                most=1,
                parts=(optional("volume_size", NUMBER), optional("volume_type", STRING)),
            ),
            create=_start,
        ),
        thing(
            "aws_ec2_instance_state",
            required("instance_id", STRING),
            required("state", STRING),
        ),
        thing("aws_ebs_volume", required("availability_zone", STRING), optional("size", NUMBER)),
    ),
)


def main() -> None:
    """Serve the provider until Terraform is done with it."""
    serve(PROVIDER)
