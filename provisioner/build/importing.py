"""The steps of the import of a template version. None of them has side effects.

The template is initialized, read and planned for a start and for a stop, with made-up facts about a
workspace. What it declares is stored when the job is finished.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from db.jobs.declarations import PlannedDeclarations, Template, TemplateParameter
from db.jobs.imports import ImportInput, ImportResult, load_import
from db.jobs.results import Timing
from db.outage import retry_outage
from db.parameters.expressions import Values
from db.parameters.tags import workspace_tags
from db.schema.enums import LogLevel, Stage, Transition
from provisioner.build.attempt import Attempt, Recipe, Step
from provisioner.build.environment import import_environment
from provisioner.build.facts import worker_facts
from provisioner.build.workersecrets import secrets_of_worker
from provisioner.engines.port import (
    BuildContext,
    EngineError,
    EngineInterruptedError,
    Plan,
)
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.host.archive import TemplateFiles, read_archive
from provisioner.platform.platform import agent_entries
from provisioner.redaction.secrets import secrets_in, with_marked
from provisioner.template.judgement import check_declarations, wrong_in_presets
from provisioner.template.localmodules import find_module_cycle
from provisioner.template.parameters import check_variables
from provisioner.template.tags import settle_tags
from provisioner.template.variables import fill_variables, placeholders_for

README = "README.md"


_UNKNOWN = {"bool": "false", "number": "0"}
"""In place of a parameter without a default, by its type; any other is empty."""


def set_up(attempt: Attempt) -> None:
    """Read the version and its files."""

    def read() -> ImportInput:
        with attempt.database.begin() as session:
            return load_import(session, attempt.lease, archives=attempt.archives)

    attempt.input = loaded = retry_outage(read, may_go_on=attempt.interrupt.may_write)
    attempt.context = BuildContext(
        files=read_archive(loaded.archive),
        directory=attempt.directory.template,
        transition=Transition.START,
        environment=_environment(attempt, Transition.START),
        variables={},
        # Which of the given values are secret is known when the files have been read.
        sensitive=secrets_in({*loaded.sensitive_values, *loaded.given.values()})
        | secrets_of_worker(attempt.settings),
        log=attempt.logs.write,
        interrupt=attempt.interrupt,
        timeout=attempt.settings.limits.init,
        fetches_modules=True,
        home=attempt.directory.home,
        tmp=attempt.directory.tmp,
        unpack=lambda: attempt.directory.make(loaded.archive),
    )


def init(attempt: Attempt) -> None:
    """Install providers and modules, and keep the modules for the builds of the version."""
    context = attempt.context_for(attempt.settings.limits.init)
    timings = _initialized(attempt, context)
    installed = attempt.engine.installed(context)
    found = ImportResult(
        modules=installed.modules,
        module_files=installed.files,
        provisionerd_version=importlib.metadata.version("provisionerd"),
    )
    attempt.result = replace(attempt.result, timings=timings, imported=found)


def parse(attempt: Attempt) -> None:
    """Read what the files declare, and find a value for each variable.

    Raises:
        RequiredVariablesError: a variable has neither; the variables are stored nevertheless.
        UnknownVariableError: a value was given for a variable that is not declared.
    """
    context, version = attempt.loaded_context, attempt.version
    template = attempt.engine.parse(context.files)
    variables = fill_variables(template.variables, version.given, version.inherited)
    attempt.found = replace(
        attempt.found, variables=variables, readme=_readme(context.files), tags=template.tags
    )
    values = {found.name: found.value for found in variables if found.value is not None}
    check_variables(template, values)
    secrets = [
        text
        for found in variables
        if found.sensitive
        for text in (found.value, found.default_value)
    ]
    secrets += [found.default for found in template.parameters if found.sensitive]
    attempt.context = replace(
        context,
        template=template,
        variables={**values, **placeholders_for(template)},
        sensitive=secrets_in({*secrets, *version.sensitive_values})
        | secrets_of_worker(attempt.settings),
    )


def plan_start(attempt: Attempt) -> None:
    """Plan a start: its resources, and what only a plan knows of the declarations.

    Raises:
        DeclarationError: the declarations contradict each other.
    """
    planned = _plan(attempt, Transition.START)
    declares = _merged(attempt.loaded_context.template, planned.declares)
    check_declarations(declares)
    tags = _tags(attempt, declares)
    for sentence in wrong_in_presets(declares):
        attempt.log_line(LogLevel.WARN, sentence)
    attempt.found = replace(
        attempt.found, declares=declares, tags=tags, graph=planned.graph.edges()
    )


def plan_stop(attempt: Attempt) -> None:
    """Plan a stop: the resources that a stopped workspace keeps."""
    _plan(attempt, Transition.STOP)


RECIPE = Recipe(
    noun="import",
    steps=(
        Step(stage=Stage.SET_UP, heading="Setting up", run=set_up),
        Step(stage=Stage.INIT, heading="Initializing Terraform Directory", run=init),
        Step(stage=Stage.INIT, heading="Parsing template parameters", run=parse),
        Step(stage=Stage.PLAN, heading="Detecting persistent resources", run=plan_start),
        Step(stage=Stage.PLAN, heading="Detecting ephemeral resources", run=plan_stop),
    ),
)


def _initialized(attempt: Attempt, context: BuildContext) -> Sequence[Timing]:
    try:
        return attempt.engine.init(context)
    except EngineInterruptedError:
        raise
    except EngineError as error:
        if cycle := find_module_cycle(context.files):
            error.args = (f"terraform init: local modules call each other: {' -> '.join(cycle)}",)
        raise


def _plan(attempt: Attempt, transition: Transition) -> Plan:
    """Plan a transition, and keep its resources.

    If the plan fails because a variable refuses the placeholder of a required parameter, its
    resources are not known. Any other failure fails the import, as with Coder: nobody knows whether
    another value would fix it, and a version that was not checked must not become active.
    """
    attempt.context = replace(
        attempt.loaded_context,
        transition=transition,
        environment=_environment(attempt, transition),
    )
    context = attempt.context_for(attempt.settings.limits.plan)
    try:
        planned = attempt.engine.plan(context)
        attempt.context = replace(
            attempt.loaded_context, sensitive=with_marked(context.sensitive, planned.sensitive)
        )
    except (EngineInterruptedError, ConversionError):
        raise  # no value of a parameter would change it
    except EngineError as error:
        guessed = placeholders_for(context.template)
        refused = sorted(error.refused_variables & guessed.keys())
        if not refused:
            error.args = (_import_failure(transition, error, guessed),)
            raise
        attempt.log_line(
            LogLevel.WARN,
            f"The {transition} cannot be planned without the values that users choose for"
            f" {_quoted(refused)}, so its resources are not known yet: {error}",
        )
        planned = Plan(daily_cost=0)
    resources = {**attempt.found.resources, transition: planned.resources}
    attempt.found = replace(attempt.found, resources=resources)
    attempt.result = replace(attempt.result, timings=[*attempt.result.timings, *planned.timings])
    return planned


def _import_failure(transition: Transition, error: EngineError, guessed: Iterable[str]) -> str:
    text = f"template import provision for {transition}: {error}"
    if names := _quoted(guessed):
        text += f"; if it needs a real value of {names}, declare a default"
    return text


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _merged(template: Template, declares: PlannedDeclarations) -> PlannedDeclarations:
    """Return the declarations of the plan, and the parameters that only the files name."""
    planned = {found.name for found in declares.parameters}
    only_in_files: list[TemplateParameter] = [
        found for found in template.parameters if found.name not in planned
    ]
    return replace(declares, parameters=[*declares.parameters, *only_in_files])


def _tags(attempt: Attempt, declares: PlannedDeclarations) -> Mapping[str, str]:
    """Return the expressions of workspace tags. No build finds that they cannot be evaluated.

    Raises:
        WorkspaceTagError: one cannot be evaluated, with the defaults of parameters.
    """
    variables = {
        found.name: found.default_value if found.value is None else found.value
        for found in attempt.found.variables or ()
    }
    parameters = {
        found.name: found.default or _UNKNOWN.get(found.type, "") for found in declares.parameters
    }
    known = Values(variables=variables, parameters=parameters)
    tags = settle_tags(attempt.loaded_context.template.tags, declares.tags, known)
    workspace_tags(tags, known)
    return tags


def _readme(files: TemplateFiles) -> str:
    return bytes(files[README]).decode(errors="replace") if README in files else ""


def _environment(attempt: Attempt, transition: Transition) -> dict[str, str]:
    platform = agent_entries(attempt.settings.platform)
    return import_environment(worker_facts(attempt, platform), transition)
