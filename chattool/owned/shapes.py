"""The answers of the owner's tools, for their output schemas.

Every answer may be an error instead, so only fields of errors and refusals are shared; a field that
does not apply is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

BuildStatus = Literal["running", "succeeded", "failed", "canceled"]


class Shape(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(extra="forbid")


class Validation(Shape):
    """Why one value is refused."""

    field: str
    detail: str


class Quota(Shape):
    """Credits per day."""

    credits_consumed: int
    budget: int


class Freeable(Shape):
    """A workspace of the owner that consumes quota."""

    workspace: str
    daily_cost: int = Field(description="credits per day that it consumes")
    transition: str = Field(description="of its latest build: start, stop or delete")


class Answer(Shape):
    """What every tool may answer in place of what it was asked for."""

    error: str | None = Field(None, description="one sentence; absent on success")
    error_code: str | None = Field(
        None, description="INSUFFICIENT_QUOTA: the quota refused the build; do not just try again"
    )
    detail: str | None = None
    validations: list[Validation] | None = Field(
        None, description="wrong arguments or parameters; correct them and call again"
    )
    next: str | None = Field(None, description="what to call next")


class Resource(Shape):
    """A resource of a workspace."""

    type: str
    name: str
    daily_cost: int
    metadata: dict[str, str] | None = None


class BuildAnswer(Answer):
    """A workspace build: how it ended, or that it still runs."""

    status: BuildStatus | None = None
    workspace: str | None = None
    build_id: str | None = None
    transition: str | None = None
    stage: str | None = Field(None, description="what the build does now")
    no_build: bool | None = Field(None, description="nothing had to be done")
    daily_cost: int | None = None
    resources: list[Resource] | None = None
    title: str | None = None
    message: str | None = None
    next_steps: list[str] | None = None
    quota: Quota | None = None
    could_be_freed: list[Freeable] | None = Field(
        None, description="the owner's workspaces that consume quota; ask before you stop one"
    )


class TemplateItem(Shape):
    """A template in a list."""

    id: str
    name: str
    organization: str
    display_name: str | None = None
    description: str | None = None
    deprecated: str | None = Field(None, description="why it must not be used any more")


class TemplatesAnswer(Answer):
    """Templates."""

    templates: list[TemplateItem] | None = None


class ParameterOption(Shape):
    """A value that a parameter may have."""

    value: str
    name: str


class Parameter(Shape):
    """A parameter that a workspace's user chooses."""

    name: str
    type: str
    description: str | None = None
    required: bool
    default: str | None = None
    mutable: bool = Field(description="whether it can be changed after the workspace was created")
    ephemeral: bool = Field(description="whether it counts for one build only")
    options: list[ParameterOption] | None = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    monotonic: str | None = None


class Preset(Shape):
    """A named set of values."""

    name: str
    description: str | None = None
    is_default: bool
    parameters: dict[str, str]


class TemplateAnswer(Answer):
    """One template."""

    id: str | None = None
    name: str | None = None
    organization: str | None = None
    description: str | None = None
    version: str | None = None
    readme: str | None = Field(None, description="its first lines")
    parameters: list[Parameter] | None = None
    presets: list[Preset] | None = None
    resources: list[Resource] | None = Field(
        None, description="of a start with the default values of its parameters"
    )
    daily_cost: int | None = Field(None, description="credits per day with the default values")


class WorkspaceItem(Shape):
    """A workspace in a list."""

    id: str
    name: str
    template: str
    status: str
    outdated: bool
    daily_cost: int
    build_id: str = Field(description="of its latest build")
    last_used_at: str


class WorkspacesAnswer(Answer):
    """Workspaces."""

    workspaces: list[WorkspaceItem] | None = None


class WorkspaceAnswer(Answer):
    """One workspace."""

    id: str | None = None
    name: str | None = None
    template: str | None = None
    template_version: str | None = None
    status: str | None = None
    outdated: bool | None = Field(None, description="whether the template has a newer version")
    daily_cost: int | None = None
    build_id: str | None = None
    transition: str | None = None
    build_error: str | None = None
    build_error_code: str | None = None
    parameters: dict[str, str] | None = None
    resources: list[Resource] | None = None


class LogAnswer(Answer):
    """A part of a build's log."""

    build_id: str | None = None
    status: BuildStatus | None = None
    part: str | None = None
    lines: list[str] | None = Field(None, description="as 'level stage: text'")


class QuotaOfOrganization(Quota):
    """The owner's quota in one organization."""

    organization: str
    groups: dict[str, int] = Field(description="the allowance that each group gives")
    workspaces: list[Freeable]


class QuotaAnswer(Answer):
    """The owner's quota."""

    quotas: list[QuotaOfOrganization] | None = None


class Change(Shape):
    """What a build would do to one resource."""

    address: str
    action: str


class ForecastAnswer(Answer):
    """What a start would do and cost."""

    status: BuildStatus | None = None
    would_fit: bool | None = Field(None, description="whether the quota would permit it now")
    daily_cost: int | None = None
    quota: Quota | None = None
    changes: list[Change] | None = None
    resources: list[Resource] | None = None
    could_be_freed: list[Freeable] | None = None


def schema_of(answer: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of an answer, in which a field that is left out is not null."""
    schema: dict[str, Any] = _tidy(answer.model_json_schema())
    return schema


def _tidy(node: Any) -> Any:
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = _without_null(node)
    if isinstance(kept.get("title"), str):  # else it is a property of that name
        del kept["title"]
    return {key: _tidy(value) for key, value in kept.items() if (key, value) != ("default", None)}


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy; a schema that allows one kind or null allows that kind."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return dict(schema)
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**kinds[0], **rest}
