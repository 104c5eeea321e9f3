"""What the image itself has to hold, beside what it does with a worker."""

from __future__ import annotations

import pytest

from tests.deployment.hosts import Container

pytestmark = pytest.mark.timeout(1500)


def test_the_first_process_hides_its_environment_from_templates(container: Container) -> None:
    """They run as the same user, and the database's URL stands there."""
    said = container.run("sh", "-c", "cat /proc/1/environ || echo refused")
    assert said == "refused\n"


def test_the_first_process_is_ours(container: Container) -> None:
    said = container.run("sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
    assert said == "python -I -m worker.process.init provisionerd worker "
