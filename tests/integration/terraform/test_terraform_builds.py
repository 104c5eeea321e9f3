"""Builds with the real Terraform: what they do, cost, say and leave behind."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from db.jobs.resources import Resource
from db.schema.enums import LogLevel, TimingStage, Transition
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.operation import Program, run_command
from provisioner.engines.terraform.version import MINIMUM, Version, read_version
from provisioner.host.sandbox.port import Confined, NoSandbox, Scope
from tests.integration.terraform.builds import MakeBuild, MakeFake, chained, names_in, state_of

WORKSPACE = """
variable "workspace_transition" {
  default = "start"
}
variable "size" {
  default = "small"
}
resource "terraform_data" "home" {
  input = { daily_cost = 1 }
}
resource "terraform_data" "dev" {
  count = var.workspace_transition == "start" ? 2 : 0
  input = { daily_cost = 10, size = var.size }
}
"""
STOP = {"TF_VAR_workspace_transition": "stop"}


def environment(make_build: MakeBuild, **more: str) -> Mapping[str, str]:
    return {**make_build("").context.environment, **more}


def test_a_start_is_planned_priced_and_applied(make_build: MakeBuild) -> None:
    build = make_build(WORKSPACE)
    build.engine.init(build.context)
    plan = build.engine.plan(build.context)
    applied = build.engine.apply(build.context)
    assert plan.daily_cost == 21
    assert applied.resources == (
        Resource(type="terraform_data", name="dev", daily_cost=10),
        Resource(type="terraform_data", name="dev", daily_cost=10),
        Resource(type="terraform_data", name="home", daily_cost=1),
    )


def test_a_directory_that_cannot_be_made_fails_the_init(make_build: MakeBuild) -> None:
    def unpack() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    build = make_build(WORKSPACE, unpack=unpack)
    with pytest.raises(EngineError) as caught:
        build.engine.init(build.context)
    assert str(caught.value) == (
        "terraform init: cannot write into the work directory: No space left on device"
    )


class FullDisk(NoSandbox):
    """A sandbox that cannot prepare the directories of a build."""

    def confine(self, command: Sequence[str], scope: Scope) -> Confined:
        del command, scope
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_sandbox_that_finds_the_disk_full_fails_the_command(make_build: MakeBuild) -> None:
    program = Program(binary=Path(sys.executable), grace=timedelta(seconds=1), sandbox=FullDisk())
    with pytest.raises(EngineError, match=r"init: cannot write .* No space left on device"):
        run_command(
            program, ["init"], context=make_build(WORKSPACE).context, stage=TimingStage.INIT
        )


def test_a_stop_takes_down_what_only_a_start_needs(make_build: MakeBuild) -> None:
    started = make_build(WORKSPACE).plan_and_apply()
    stop = make_build(
        WORKSPACE,
        transition=Transition.STOP,
        state=started.state,
        environment=environment(make_build, **STOP),
    )
    stop.engine.init(stop.context)
    assert stop.engine.plan(stop.context).daily_cost == 1
    assert [resource.name for resource in stop.engine.apply(stop.context).resources] == ["home"]


def test_a_delete_takes_down_everything_and_costs_nothing(make_build: MakeBuild) -> None:
    started = make_build(WORKSPACE).plan_and_apply()
    delete = make_build(WORKSPACE, transition=Transition.DELETE, state=started.state)
    delete.engine.init(delete.context)
    assert delete.engine.plan(delete.context).daily_cost == 0
    deleted = delete.engine.apply(delete.context)
    before, after = state_of(started.state), state_of(deleted.state)
    assert (deleted.resources, names_in(deleted.state)) == ((), set())
    assert (after.lineage, after.serial > before.serial) == (before.lineage, True)


def test_a_second_delete_starts_no_process(make_build: MakeBuild) -> None:
    started = make_build(WORKSPACE).plan_and_apply()
    deleted = make_build(
        WORKSPACE, transition=Transition.DELETE, state=started.state
    ).plan_and_apply()
    again = make_build(
        WORKSPACE, Path("/nowhere"), transition=Transition.DELETE, state=deleted.state
    )
    assert again.plan_and_apply().state == deleted.state


@pytest.mark.parametrize("state", [None, b""])
def test_a_delete_without_a_state_has_nothing_to_do(
    make_build: MakeBuild, state: bytes | None
) -> None:
    build = make_build("not even HCL", Path("/nowhere"), transition=Transition.DELETE, state=state)
    assert build.plan_and_apply().state is None
    assert build.lines == [
        (LogLevel.INFO, "The Terraform state does not exist, there is nothing to do")
    ]


def test_a_template_without_resources_can_be_applied(make_build: MakeBuild) -> None:
    assert make_build('output "x" {\n value = 1\n}').plan_and_apply().resources == ()


def test_variables_reach_the_template_as_text(make_build: MakeBuild) -> None:
    build = make_build(WORKSPACE, variables={"size": "${path.module}", "undeclared": "x"})
    state = build.apply()
    assert '"size": "${path.module}"' in state.decode()
    assert "undeclared" not in build.text


EPHEMERAL_SINCE = Version(1, 10, 0)
EPHEMERAL = """
variable "token" {
  type      = string
  ephemeral = true
}
variable "size" {
  type = string
}
resource "terraform_data" "box" {
  input = var.size
  provisioner "local-exec" {
    command     = "printf %s $TOKEN > token.txt"
    environment = { TOKEN = var.token }
  }
}
"""


def test_an_ephemeral_variable_reaches_the_apply_and_not_the_state(
    make_build: MakeBuild, terraform: Path
) -> None:
    if read_version(terraform) < EPHEMERAL_SINCE:
        pytest.skip("this Terraform has no ephemeral variables")
    build = make_build(EPHEMERAL, variables={"token": "s3cret", "size": "2"})
    state = build.apply()
    assert (build.context.directory / "token.txt").read_text() == "s3cret"
    assert "s3cret" not in state.decode()


def test_an_ephemeral_variable_file_of_the_template_is_removed(make_build: MakeBuild) -> None:
    planted = {"main.tf": WORKSPACE, "provisionerd.ephemeral.tfvars.json": '{"size": "9"}'}
    assert make_build(planted, variables={"size": "ours"}).plan_and_apply().resources


def test_a_variable_wins_over_a_tfvars_file_of_the_template(make_build: MakeBuild) -> None:
    files = {"main.tf": WORKSPACE, "x.auto.tfvars": 'size = "theirs"'}
    state = make_build(files, variables={"size": "ours"}).apply()
    assert '"size": "ours"' in state.decode()


@pytest.mark.parametrize(
    "block",
    [
        pytest.param('backend "s3" {}', id="s3"),
        pytest.param('backend "local" {\n path = "elsewhere.tfstate"\n}', id="local"),
        pytest.param('cloud {\n organization = "o"\n workspaces {\n name = "n"\n }\n}', id="cloud"),
    ],
)
@pytest.mark.parametrize("name", ["backend.tf", "override.tf", "zzzz_override.tf"])
def test_a_backend_of_the_template_is_not_used(
    make_build: MakeBuild, name: str, block: str
) -> None:
    build = make_build({"main.tf": WORKSPACE, name: f"terraform {{\n{block}\n}}\n"})
    assert len(build.plan_and_apply().resources) == 3


def test_a_planted_state_is_not_used(make_build: MakeBuild) -> None:
    planted = make_build(WORKSPACE).apply()
    build = make_build(
        {
            "main.tf": WORKSPACE,
            "terraform.tfstate": planted.decode(),
            "errored.tfstate": planted.decode(),
        }
    )
    assert state_of(build.plan_and_apply().state).lineage != state_of(planted).lineage


def test_a_lock_file_that_lacks_nothing_is_not_changed(make_build: MakeBuild) -> None:
    build = make_build({"main.tf": WORKSPACE, ".terraform.lock.hcl": "# ours\n"})
    build.plan_and_apply()
    assert (build.context.directory / ".terraform.lock.hcl").read_text() == "# ours\n"


def test_a_provider_that_cannot_be_had_fails_the_init(make_build: MakeBuild) -> None:
    build = make_build(
        {
            "main.tf": "terraform {\n required_providers {\n x = {\n"
            ' source = "x.invalid/x/x"\n}\n}\n}',
            ".terraform.lock.hcl": "",
        }
    )
    with pytest.raises(EngineError, match=r"^terraform init: .*x\.invalid/x/x"):
        build.engine.init(build.context)


def test_a_failed_plan_tells_the_file_and_the_line(make_build: MakeBuild) -> None:
    build = make_build('resource "terraform_data" "a" {\n  bogus = 1\n}\n')
    with pytest.raises(EngineError) as failed:
        build.plan_and_apply()
    assert str(failed.value) == (
        'terraform plan: Unsupported argument: An argument named "bogus" is not expected here. '
        "(main.tf line 2)"
    )
    assert failed.value.state is None


def test_a_missing_variable_is_named(make_build: MakeBuild) -> None:
    build = make_build('variable "region" {}\n')
    with pytest.raises(
        EngineError, match=r'^terraform plan: No value for req.*"region" is not set'
    ):
        build.plan_and_apply()


def test_an_init_that_fails_tells_the_file_and_the_line(make_build: MakeBuild) -> None:
    build = make_build('resource "terraform_data" {\n}\n')
    with pytest.raises(EngineError, match=r"^terraform init: Missing name.*main\.tf line 1\)$"):
        build.engine.init(build.context)


FAILING = chained("disk", "machine", "echo insufficient quota in us-east1 >&2; exit 3")


def test_a_failed_apply_tells_the_resource_and_keeps_the_state(make_build: MakeBuild) -> None:
    build = make_build(FAILING)
    with pytest.raises(EngineError) as failed:
        build.plan_and_apply()
    assert str(failed.value).startswith("terraform apply: local-exec provisioner error: ")
    assert str(failed.value).endswith("(terraform_data.machine, main.tf line 5)")
    assert "insufficient quota in us-east1" in str(failed.value)
    names = names_in(failed.value.state)
    assert names == {"disk", "machine"}


def test_an_error_is_logged_once_with_its_resource(make_build: MakeBuild) -> None:
    build = make_build(FAILING)
    with pytest.raises(EngineError):
        build.plan_and_apply()
    told = [text for _level, text in build.lines if "local-exec provisioner error" in text]
    assert told == ["Error: local-exec provisioner error"]
    assert "with terraform_data.machine," in build.text


DIES = """
echo '{"@level":"error","@message":"ledger_machine.box: Creation errored after 0s",\
"type":"apply_errored","hook":{"resource":{"addr":"ledger_machine.box"},"action":"create"}}'
echo '{"@level":"error","@message":"Error: Plugin did not respond","type":"diagnostic",\
"diagnostic":{"severity":"error","summary":"Plugin did not respond","detail":"It died."}}'
exit 1
"""


def test_an_error_without_a_resource_names_the_one_that_failed(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    build = make_build(WORKSPACE, make_fake(apply=DIES.replace("\\\n", "").strip()))
    with pytest.raises(EngineError, match=r"did not respond: It died\. \(ledger_machine\.box\)$"):
        build.plan_and_apply()


FOREIGN = '{"version": 4, "serial": 7, "lineage": "theirs"}'

FILLS = """
locals {
  kib = join("", [for _ in range(64) : "0123456789abcdef"])
}
resource "terraform_data" "first" {
  input = "x"
}
resource "terraform_data" "second" {
  depends_on = [terraform_data.first]
  input      = join("", [for _ in range(%d) : local.kib])
  provisioner "local-exec" {
    command = "cat /dev/zero >filling 2>/dev/null; true"
  }
}
"""


@pytest.mark.parametrize(
    "kib", [pytest.param(64, id="state"), pytest.param(1024, id="state that is a longer line")]
)
def test_what_was_made_while_the_disk_was_full_stands_in_the_state(
    make_build: MakeBuild, small_disk: Path, kib: int
) -> None:
    """Terraform can write its state to no file then, and prints it."""
    build = make_build(FILLS % kib, directory=small_disk)
    with pytest.raises(EngineError, match="no space left on device") as failed:
        build.plan_and_apply()
    assert names_in(failed.value.state) == {"first", "second"}


def test_an_apply_that_leaves_a_state_of_another_lineage_fails_and_leaves_it_there(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    fake = make_fake(apply=f"echo '{FOREIGN}' > terraform.tfstate")
    build = make_build({"main.tf": ""}, fake, state=FOREIGN.replace("theirs", "ours").encode())
    with pytest.raises(EngineError, match="has another lineage than the workspace's") as failed:
        build.plan_and_apply()
    assert failed.value.leaves_state


@pytest.mark.parametrize(("given", "used"), [({}, 400), ({"GOGC": "50"}, 50)])
def test_a_small_terraform_collects_garbage_as_often_as_said_or_less_often_than_usual(
    make_build: MakeBuild, make_fake: MakeFake, given: Mapping[str, str], used: int
) -> None:
    noting = 'echo "$1: $GOGC" >> commands'
    fake = make_fake(init=noting, apply=noting)
    build = make_build({"main.tf": ""}, fake, environment={"PATH": os.environ["PATH"], **given})
    build.plan_and_apply()
    commands = (build.context.directory / "commands").read_text()
    assert commands == f"init: {used}\napply: {used}\n"


def test_the_next_build_goes_on_from_the_state_of_a_failed_one(make_build: MakeBuild) -> None:
    with pytest.raises(EngineError) as failed:
        make_build(FAILING).plan_and_apply()
    repaired = make_build(FAILING.replace("exit 3", "exit 0"), state=failed.value.state)
    assert len(repaired.plan_and_apply().resources) == 2


def test_a_diagnostic_is_logged_at_its_severity_with_its_place(make_build: MakeBuild) -> None:
    build = make_build(FAILING)
    with pytest.raises(EngineError):
        build.plan_and_apply()
    place = 'on main.tf line 5, in resource "terraform_data" "machine":'
    assert (LogLevel.ERROR, place) in build.lines


def test_the_output_of_a_provisioner_is_logged_without_terminal_sequences(
    make_build: MakeBuild,
) -> None:
    build = make_build(
        'resource "terraform_data" "a" {\n provisioner "local-exec" {\n'
        r""" command = "printf '\\033[31mred\\033[0m\\n'" """
        "\n }\n}"
    )
    build.plan_and_apply()
    assert (LogLevel.INFO, "terraform_data.a: (local-exec): red") in build.lines


LEAKING = r"""
variable "password" {}
resource "terraform_data" "a" {
  provisioner "local-exec" {
    command     = "printf '%s\n' \"$P\"; exit 1"
    environment = { P = var.password }
  }
}
"""


def test_a_sensitive_value_reaches_neither_the_log_nor_the_error(make_build: MakeBuild) -> None:
    secret = 'hunter"2\\n&'
    build = make_build(LEAKING, variables={"password": secret}, sensitive=frozenset({secret}))
    with pytest.raises(EngineError) as failed:
        build.plan_and_apply()
    assert "*redacted*" in build.text
    assert "hunter" not in build.text + str(failed.value)


def test_a_wrong_value_of_a_variable_is_not_shown_in_the_log(make_build: MakeBuild) -> None:
    """Terraform quotes the file of variables, the values of the others included."""
    build = make_build(
        'variable "count_of_disks" {\n type = number\n}\nvariable "other" {}\n',
        variables={"count_of_disks": "many", "other": "private matter"},
    )
    with pytest.raises(EngineError, match="Invalid value for input variable"):
        build.plan_and_apply()
    assert "private matter" not in build.text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        pytest.param(
            'resource "terraform_data" "b" {}\n'
            'resource "terraform_data" "dev" {\n input = { daily_cost = terraform_data.b.id }\n}',
            "daily_cost is not known at plan time",
            id="unknown",
        ),
        pytest.param(
            'resource "terraform_data" "dev" {\n input = { daily_cost = -1 }\n}',
            "daily_cost is -1, but must be a whole number from 0",
            id="negative",
        ),
        pytest.param(
            'resource "terraform_data" "dev" {\n input = { daily_cost = 0.1 + 0.2 }\n}',
            r"daily_cost is 0\.3, but must be a whole number from 0",
            id="fraction",
        ),
    ],
)
def test_a_price_that_is_none_fails_the_plan(
    make_build: MakeBuild, template: str, reason: str
) -> None:
    build = make_build(template)
    build.engine.init(build.context)
    with pytest.raises(EngineError, match=f"^terraform_data.dev: {reason}") as failed:
        build.engine.plan(build.context)
    assert failed.value.timings


def test_the_price_counts_modules_and_whole_fractions(make_build: MakeBuild) -> None:
    build = make_build(
        {
            "main.tf": 'module "m" {\n source = "./m"\n for_each = { a = 1, b = 2 }\n}\n',
            "m/main.tf": 'resource "terraform_data" "dev" {\n input = { daily_cost = 4 / 2 }\n}\n',
        }
    )
    build.engine.init(build.context)
    assert build.engine.plan(build.context).daily_cost == 4
    modules = {resource.module_path for resource in build.engine.apply(build.context).resources}
    assert modules == {'module.m["a"]', 'module.m["b"]'}


def test_each_stage_and_each_resource_is_timed(make_build: MakeBuild) -> None:
    build = make_build('resource "terraform_data" "a" {}')
    timings = [
        *build.engine.init(build.context),
        *build.engine.plan(build.context).timings,
        *build.engine.apply(build.context).timings,
    ]
    assert [(t.stage, t.source, t.action, t.resource) for t in timings] == [
        (TimingStage.INIT, "provisionerd", "terraform", "coder_stage_init"),
        (TimingStage.PLAN, "provisionerd", "terraform", "coder_stage_plan"),
        (TimingStage.APPLY, "provisionerd", "terraform", "coder_stage_apply"),
        (TimingStage.APPLY, "terraform", "create", "terraform_data.a"),
    ]


def test_a_state_is_delivered_while_the_apply_still_runs(make_build: MakeBuild) -> None:
    """The slow resource ends when the checkpoint of the quick one has been stored."""
    build = make_build(
        'resource "terraform_data" "quick" {}\n'
        'resource "terraform_data" "slow" {\n provisioner "local-exec" {\n'
        '  command = "until [ -e stored ]; do sleep 0.05; done"\n }\n}'
    )
    stored = build.context.directory / "stored"
    names: list[set[str]] = []

    def store(state: bytes) -> None:
        names.append(names_in(state))
        stored.touch()

    build.context = dataclasses.replace(build.context, on_state=store)
    build.plan_and_apply()
    assert "quick" in names[0]


def test_a_checkpoint_that_can_not_be_stored_does_not_break_the_apply(
    make_build: MakeBuild,
) -> None:
    build = make_build(
        'resource "terraform_data" "quick" {}\n'
        'resource "terraform_data" "slow" {\n provisioner "local-exec" {\n'
        '  command = "until [ -e tried ]; do sleep 0.05; done"\n }\n}'
    )

    def fail(_state: bytes) -> None:
        (build.context.directory / "tried").touch()
        raise ConnectionError

    build.context = dataclasses.replace(build.context, on_state=fail)
    assert build.plan_and_apply().state is not None
    assert {text for level, text in build.lines if level is LogLevel.WARN} == {
        "A checkpoint of the Terraform state could not be stored (ConnectionError)"
    }


def test_parse_reads_the_variables_of_a_template(make_build: MakeBuild) -> None:
    build = make_build(WORKSPACE)
    names = [variable.name for variable in build.engine.parse(build.context.files).variables]
    assert "size" in names


def test_the_version_of_the_binary_is_read(terraform: Path) -> None:
    assert read_version(terraform) >= MINIMUM


def test_the_state_in_the_directory_is_that_of_the_result(make_build: MakeBuild) -> None:
    build = make_build(WORKSPACE)
    state = build.apply()
    on_disk = (build.context.directory / "terraform.tfstate").read_bytes()
    assert json.loads(on_disk) == json.loads(state)
