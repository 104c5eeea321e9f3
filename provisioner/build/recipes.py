"""Which recipe runs which type of job."""

from __future__ import annotations

from collections.abc import Mapping

from db.schema.enums import JobType, Stage
from provisioner.build import dryrun, importing, steps
from provisioner.build.attempt import Attempt, Recipe, Step
from provisioner.build.endings import UnknownJobTypeError

RECIPES: Mapping[str, Recipe] = {
    JobType.WORKSPACE_BUILD: steps.RECIPE,
    JobType.TEMPLATE_VERSION_IMPORT: importing.RECIPE,
    JobType.TEMPLATE_VERSION_DRY_RUN: dryrun.RECIPE,
}


def recipe_of(attempt: Attempt) -> Recipe:
    """Return the recipe of the job; that of a type that only a later version knows fails."""
    if (recipe := RECIPES.get(attempt.job.type)) is None:
        return Recipe(
            noun="job", steps=(Step(stage=Stage.SET_UP, heading="Setting up", run=_refuse),)
        )
    return recipe


def _refuse(attempt: Attempt) -> None:
    raise UnknownJobTypeError(attempt.job.type)
