"""What a template declares, as typed values: variables, parameters, presets, modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PARAMETER_PREFIX = "parameter_"
"""``variable "parameter_region"`` declares the parameter ``region``."""


@dataclass(frozen=True, kw_only=True)
class TemplateVariable:
    """A ``variable`` block of the template's root module."""

    name: str
    required: bool  #: it has no default
    sensitive: bool = False
    description: str = ""
    type: str = "string"
    default: object | None = None
    ephemeral: bool = False  #: its value is in no plan and no state: the apply needs it again


@dataclass(frozen=True, kw_only=True)
class ParameterOption:
    """One of the values that a parameter may have."""

    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, kw_only=True)
class TemplateParameter:
    """A value that the workspace's user chooses.

    A ``data "coder_parameter"`` declares it, or a variable named ``parameter_<name>``.
    """

    name: str
    required: bool  #: it has no default
    description: str = ""
    default: str | None = None
    display_name: str = ""
    type: str = "string"  #: string, number, bool or list(string)
    form_type: str = ""
    mutable: bool = True
    icon: str = ""
    options: tuple[ParameterOption, ...] = ()
    validation_regex: str = ""
    validation_error: str = ""
    validation_min: int | None = None
    validation_max: int | None = None
    validation_monotonic: str = ""  #: increasing, decreasing or empty
    order: int = 0
    ephemeral: bool = False
    sensitive: bool = False  #: its value must not appear in logs and errors
    variable_type: str | None = None  #: the type of the variable that declares it, if one does


@dataclass(frozen=True, kw_only=True)
class PrebuildSchedule:
    """How many prebuilt workspaces are wanted at the times that match ``cron``."""

    cron: str
    instances: int


@dataclass(frozen=True, kw_only=True)
class TemplatePreset:
    """A named set of parameter values (``data "coder_workspace_preset"``)."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_default: bool = False
    description: str = ""
    icon: str = ""
    desired_instances: int = 0  #: prebuilt workspaces
    invalidate_after_s: int | None = None
    timezone: str = ""
    schedules: tuple[PrebuildSchedule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExternalAuth:
    """A service that the workspace's owner must have signed in to."""

    id: str
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class TemplateModule:
    """A module that the template calls."""

    key: str  #: its path in the configuration, such as ``network.subnets``
    source: str
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Template:
    """The declarations in the files of a template, read without running anything."""

    variables: tuple[TemplateVariable, ...] = ()
    parameters: tuple[TemplateParameter, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  #: HCL expressions by key


@dataclass(frozen=True, kw_only=True)
class PlannedDeclarations:
    """The declarations that only a plan knows: those of modules, too."""

    parameters: Sequence[TemplateParameter] = ()
    presets: Sequence[TemplatePreset] = ()
    external_auth: Sequence[ExternalAuth] = ()
    has_ai_task: bool = False
    has_external_agent: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)  #: of a build with the defaults
