"""The scripts of an agent: of ``coder_script``, and those that are attributes of the agent."""

from __future__ import annotations

from collections.abc import Iterator

from db.jobs.agents import Script
from provisioner.engines.terraform.conversion.attributes import Attributes, flag, integer, text
from provisioner.engines.terraform.conversion.instances import Instance

TYPE = "coder_script"


def script_of(instance: Instance) -> Script:
    """Return a script."""
    given = instance.attributes
    return Script(
        display_name=text(given, "display_name"),
        script=text(given, "script"),
        icon=text(given, "icon"),
        log_path=text(given, "log_path"),
        cron=text(given, "cron"),
        timeout_s=integer(given, "timeout"),
        start_blocks_login=flag(given, "start_blocks_login"),
        run_on_start=flag(given, "run_on_start"),
        run_on_stop=flag(given, "run_on_stop"),
    )


def own_scripts_of(agent: Attributes) -> Iterator[Script]:
    """Yield the scripts that are attributes of a ``coder_agent``."""
    if script := text(agent, "startup_script"):
        yield Script(
            display_name="Startup Script",
            script=script,
            icon="/emojis/25b6-fe0f.png",
            log_path="coder-startup-script.log",
            run_on_start=True,
            start_blocks_login=_blocks_login(agent),
        )
    if script := text(agent, "shutdown_script"):
        yield Script(
            display_name="Shutdown Script",
            script=script,
            icon="/emojis/25c0.png",
            log_path="coder-shutdown-script.log",
            run_on_stop=True,
        )


def _blocks_login(agent: Attributes) -> bool:
    if behavior := text(agent, "startup_script_behavior"):
        return behavior == "blocking"
    # The attribute of old providers that says the opposite.
    return not flag(agent, "login_before_ready", default=True)
