"""Reading what a template asks for from its archive, for whichever engine it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from db.enums import ProvisionerType
from provisioner.archive import read_archive
from provisioner.echo import EchoEngine
from provisioner.engine import Template, TemplateFiles
from provisioner.terraform.template import read_template

READERS: Mapping[ProvisionerType, Callable[[TemplateFiles], Template]] = {
    ProvisionerType.TERRAFORM: read_template,
    ProvisionerType.ECHO: EchoEngine().parse,
}


def read_source(archive: bytes, provisioner: ProvisionerType) -> Template:
    """Return the variables and parameters that the template in ``archive`` declares.

    Raises:
        ArchiveError: the archive is refused.
        EngineError: the template's files cannot be read.
    """
    return READERS[provisioner](read_archive(archive))
