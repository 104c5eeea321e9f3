"""The provider's program."""

from __future__ import annotations

from tests.providers.coder import access
from tests.providers.coder.agent import AGENT
from tests.providers.coder.attachments import (
    AGENT_INSTANCE,
    APP,
    DEVCONTAINER,
    ENV,
    EXTERNAL_AGENT,
    SCRIPT,
)
from tests.providers.coder.metadata import METADATA
from tests.providers.coder.parameter import PARAMETER
from tests.providers.coder.preset import PRESET
from tests.providers.coder.secrets import EXTERNAL_AUTH, SECRET
from tests.providers.coder.tasks import AI_TASK, TASK
from tests.providers.coder.workspace import OWNER, PROVISIONER, TAGS, WORKSPACE
from tests.providers.server import Provider, serve

ADDRESS = "registry.terraform.io/coder/coder"
DATA_SOURCES = (
    WORKSPACE,
    OWNER,
    PROVISIONER,
    PARAMETER,
    EXTERNAL_AUTH,
    TAGS,
    PRESET,
    TASK,
    SECRET,
)
RESOURCES = (
    AGENT,
    AGENT_INSTANCE,
    APP,
    SCRIPT,
    ENV,
    METADATA,
    AI_TASK,
    DEVCONTAINER,
    EXTERNAL_AGENT,
)
PROVIDER = Provider(
    ADDRESS,
    settings=access.SETTINGS,
    configure=access.configure,
    data_sources=DATA_SOURCES,
    resources=RESOURCES,
)


def main() -> None:
    """Serve the provider until Terraform is done with it."""
    serve(PROVIDER)
