"""The steps of a dry run: those of a build, up to its plan. None of them has side effects.

The platform is not asked for secrets: what it gives may be made for the one build that gets it.
"""

from __future__ import annotations

from dataclasses import replace

from db.jobs.builds import load_dry_run
from db.jobs.results import DryRunResult
from db.schema.enums import Stage
from provisioner.build import steps
from provisioner.build.attempt import Attempt, Recipe, Step
from provisioner.platform.hook import BuildSecrets


def set_up(attempt: Attempt) -> None:
    """Read what is planned and its template, check parameters and variables."""
    steps.prepare(attempt, load_dry_run, lambda _attempt: BuildSecrets())


def plan(attempt: Attempt) -> None:
    """Plan a start, and keep what it would do."""
    planned = steps.run_plan(attempt)
    found = DryRunResult(
        daily_cost=planned.daily_cost,
        changes=planned.changes,
        resources=planned.resources,
        modules=attempt.engine.installed(attempt.loaded_context).modules,
    )
    attempt.result = replace(attempt.result, planned=found)


RECIPE = Recipe(
    noun="dry run",
    steps=(
        Step(stage=Stage.SET_UP, heading="Setting up", run=set_up),
        Step(stage=Stage.INIT, heading="Initializing Terraform Directory", run=steps.init),
        Step(stage=Stage.PLAN, heading="Planning Infrastructure", run=plan),
    ),
)
