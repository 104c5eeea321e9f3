"""Which workspace tags get the value of the import's plan."""

from __future__ import annotations

import pytest

from db.parameters.expressions import Values
from provisioner.template.tags import settle_tags

KNOWN = Values(variables={"zone": "EU"}, parameters={"os": "linux"})


@pytest.mark.parametrize(
    ("expression", "settled"),
    [
        ('"eu"', '"eu"'),
        ("var.zone", "var.zone"),
        ("data.coder_parameter.os.value", "data.coder_parameter.os.value"),
        ("lower(var.zone)", '"planned"'),
        ('split(",", var.zones)[0]', '"planned"'),
        ("lower(data.coder_parameter.os.value)", "lower(data.coder_parameter.os.value)"),
        ("lower(local.zone)", "lower(local.zone)"),
        ('"${lower(module.m.zone)}"', '"${lower(module.m.zone)}"'),
        ("local.zones[0]", "local.zones[0]"),
    ],
)
def test_only_what_depends_on_variables_alone_is_settled(expression: str, settled: str) -> None:
    assert settle_tags({"t": expression}, {"t": "planned"}, KNOWN) == {"t": settled}


def test_a_tag_that_the_plan_does_not_know_stays_as_it_is() -> None:
    assert settle_tags({"t": "lower(var.zone)"}, {}, KNOWN) == {"t": "lower(var.zone)"}
