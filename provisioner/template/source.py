"""Read the declarations of a template from its archive, for each engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from db.jobs.declarations import Template
from db.schema.enums import ProvisionerType
from provisioner.engines.echo import EchoEngine
from provisioner.engines.terraform.declarations import read_template
from provisioner.host.archive import TemplateFiles, read_archive

READERS: Mapping[ProvisionerType, Callable[[TemplateFiles], Template]] = {
    ProvisionerType.TERRAFORM: read_template,
    ProvisionerType.ECHO: EchoEngine().parse,
}


def read_source(archive: bytes, provisioner: ProvisionerType) -> Template:
    """Return the variables and parameters that the template in ``archive`` declares.

    Raises:
        ArchiveError: the archive is not accepted.
        EngineError: the template's files cannot be read.
    """
    return READERS[provisioner](read_archive(archive))
