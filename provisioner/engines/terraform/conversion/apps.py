"""The apps that ``coder_app`` describes."""

from __future__ import annotations

from collections.abc import Sequence

from db.jobs.agents import App
from provisioner.engines.terraform.conversion.attributes import block, flag, integer, text
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.names import check_slugs

TYPE = "coder_app"
_SHARED_WITH = ("authenticated", "public")


def check_apps(instances: Sequence[Instance]) -> None:
    """Check the slugs of all apps of a template, attached or not.

    Raises:
        ConversionError: a slug is not valid or occurs twice.
    """
    apps = [found for found in instances if found.mode == "managed" and found.type == TYPE]
    check_slugs([_slug(app) for app in apps])


def app_of(instance: Instance) -> App:
    """Return an app."""
    given = instance.attributes
    slug = _slug(instance)
    health = block(given, "healthcheck")
    share = text(given, "share")
    return App(
        slug=slug,
        id=text(given, "id"),
        display_name=text(given, "display_name") or text(given, "name") or slug,
        icon=text(given, "icon"),
        command=text(given, "command"),
        url=text(given, "url"),
        external=flag(given, "external"),
        subdomain=flag(given, "subdomain"),
        sharing_level=share if share in _SHARED_WITH else "owner",
        healthcheck_url=text(health, "url"),
        healthcheck_interval_s=integer(health, "interval"),
        healthcheck_threshold=integer(health, "threshold"),
        order=integer(given, "order"),
        group=text(given, "group"),
        hidden=flag(given, "hidden"),
        open_in="tab" if text(given, "open_in") == "tab" else "slim-window",
        tooltip=text(given, "tooltip"),
    )


def _slug(instance: Instance) -> str:
    return text(instance.attributes, "slug") or instance.name
