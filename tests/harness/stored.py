"""What a job stored about a template version or a workspace, as lines that a test can compare."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

_RESOURCES = text("""
    SELECT resource.id,
           concat_ws('.', nullif(module_path, ''), type, name) AS address,
           daily_cost,
           instance_type,
           hide,
           (SELECT string_agg(
                       item.key || CASE WHEN item.sensitive THEN ' (sensitive)' ELSE '' END,
                       ', ' ORDER BY item.key)
            FROM workspace_resource_metadata AS item
            WHERE item.workspace_resource_id = resource.id) AS items
    FROM workspace_resources AS resource
    WHERE job_id = :job_id AND transition::text = :transition
    ORDER BY address
""")
_AGENTS = text("""
    SELECT agent.id,
           agent.name,
           agent.operating_system,
           agent.architecture,
           parent.name AS parent,
           agent.auth_instance_id IS NOT NULL AS by_instance,
           ARRAY(SELECT jsonb_object_keys(agent.environment_variables) ORDER BY 1) AS variables,
           ARRAY(SELECT slug FROM workspace_apps WHERE agent_id = agent.id ORDER BY slug) AS apps,
           ARRAY(SELECT display_name FROM workspace_agent_scripts
                 WHERE workspace_agent_id = agent.id ORDER BY display_name) AS scripts,
           ARRAY(SELECT name FROM workspace_agent_devcontainers
                 WHERE workspace_agent_id = agent.id ORDER BY name) AS devcontainers,
           ARRAY(SELECT key FROM workspace_agent_metadata
                 WHERE workspace_agent_id = agent.id ORDER BY key) AS metadata,
           ARRAY(SELECT path FROM workspace_agent_volume_resource_monitors
                 WHERE agent_id = agent.id ORDER BY path) AS volumes,
           agent.display_apps::text AS shown
    FROM workspace_agents AS agent
    LEFT JOIN workspace_agents AS parent ON parent.id = agent.parent_id
    WHERE agent.resource_id = :resource_id
    ORDER BY agent.name
""")
_LISTS = ("variables", "apps", "scripts", "devcontainers", "metadata", "volumes")
_SHOWN = "{vscode,ssh_helper,port_forwarding_helper,web_terminal}"  # unless a template says more
_PARAMETERS = text("""
    SELECT name, type, form_type, default_value, required, mutable, ephemeral,
           coalesce(jsonb_array_length(CASE jsonb_typeof(options)
                                       WHEN 'array' THEN options END), 0) AS options
    FROM template_version_parameters
    WHERE template_version_id = :version_id
    ORDER BY display_order, name
""")
_PRESETS = text("""
    SELECT preset.name,
           is_default,
           coalesce(desired_instances, 0) AS instances,
           (SELECT string_agg(value.name || '=' || value.value, ' ' ORDER BY value.name)
            FROM template_version_preset_parameters AS value
            WHERE value.template_version_preset_id = preset.id) AS parameters,
           (SELECT string_agg(schedule.cron_expression, ', ')
            FROM template_version_preset_prebuild_schedules AS schedule
            WHERE schedule.preset_id = preset.id) AS schedules
    FROM template_version_presets AS preset
    WHERE template_version_id = :version_id
    ORDER BY name
""")
_VERSION = text("""
    SELECT version.readme,
           version.external_auth_providers,
           version.has_ai_task,
           version.has_external_agent,
           ARRAY(SELECT key || '=' || value FROM template_version_workspace_tags
                 WHERE template_version_id = version.id ORDER BY key) AS tags,
           ARRAY(SELECT name FROM template_version_variables
                 WHERE template_version_id = version.id ORDER BY name) AS variables,
           ARRAY(SELECT DISTINCT key || ' ' || source FROM workspace_modules
                 WHERE job_id = version.job_id ORDER BY 1) AS modules
    FROM template_versions AS version
    WHERE version.id = :version_id
""")


def version_lines(session: Session, version_id: uuid.UUID) -> Iterator[str]:
    """Yield what the import of a version found, without its resources."""
    version = session.execute(_VERSION, {"version_id": version_id}).one()
    for name in ("variables", "modules", "tags"):
        if found := getattr(version, name):
            yield f"{name}: {', '.join(found)}"
    if version.readme:
        yield f"readme: {version.readme.splitlines()[0]}"
    for provider in version.external_auth_providers or ():
        yield f"external auth {provider['id']}{_flags(provider, 'optional')}"
    yield from (
        f"has {name}"
        for name, holds in (
            ("an AI task", version.has_ai_task),
            ("an external agent", version.has_external_agent),
        )
        if holds
    )
    for row in session.execute(_PARAMETERS, {"version_id": version_id}):
        yield _parameter(row._mapping)
    for row in session.execute(_PRESETS, {"version_id": version_id}):
        yield _preset(row._mapping)


def resource_lines(session: Session, job_id: uuid.UUID, transition: str) -> Iterator[str]:
    """Yield the resources that a job stored for a transition, and the agents in them."""
    facts = {"job_id": job_id, "transition": transition}
    for row in session.execute(_RESOURCES, facts):
        yield _resource(row._mapping)
        for agent in session.execute(_AGENTS, {"resource_id": row.id}):
            yield from _agent(agent._mapping)


def _parameter(row: RowMapping) -> str:
    value = "required" if row["required"] else f"default {row['default_value']!r}"
    options = f" {row['options']} options" if row["options"] else ""
    flags = _flags(row, "mutable", "ephemeral")
    return f"parameter {row['name']}: {row['type']} {row['form_type']}{options}, {value}{flags}"


def _preset(row: RowMapping) -> str:
    prebuilt = f", {row['instances']} prebuilt" if row["instances"] else ""
    schedules = f", scheduled {row['schedules']}" if row["schedules"] else ""
    flags = _flags(row, "is_default")
    return f"preset {row['name']}: {row['parameters']}{prebuilt}{schedules}{flags}"


def _resource(row: RowMapping) -> str:
    kind = f" {row['instance_type']}" if row["instance_type"] else ""
    cost = f", cost {row['daily_cost']}" if row["daily_cost"] else ""
    items = f", items {row['items']}" if row["items"] else ""
    return f"{row['address']}{kind}{cost}{items}{_flags(row, 'hide')}"


def _agent(row: RowMapping) -> Iterator[str]:
    parent = f", in {row['parent']}" if row["parent"] else ""
    proof = ", by instance" if row["by_instance"] else ""
    machine = f"{row['operating_system']} {row['architecture']}"
    yield f"  agent {row['name']}: {machine}{proof}{parent}"
    if row["shown"] != _SHOWN:
        yield f"    shown: {row['shown']}"
    for name in _LISTS:
        if found := row[name]:
            yield f"    {name}: {', '.join(found)}"


def _flags(row: Mapping[str, Any] | RowMapping, *names: str) -> str:
    found: Sequence[str] = [name for name in names if row.get(name)]
    return "".join(f", {name.removeprefix('is_')}" for name in found)
