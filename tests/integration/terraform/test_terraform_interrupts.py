"""Builds that are interrupted, and Terraforms that misbehave."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from db.schema.enums import LogLevel
from provisioner.engines.port import EngineError, EngineInterruptedError
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.operation import MAX_LOGGED
from provisioner.host.interrupt import InterruptReason
from tests.harness.processes import wait_until_gone
from tests.integration.terraform.builds import MakeBuild, MakeFake, chained, names_in, state_of

SLOW = chained("quick", "slow", "echo busy; sleep 600")
STATE = json.dumps({"version": 4, "serial": 7, "lineage": "ours", "resources": []})


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (InterruptReason.CANCEL, "terraform apply was canceled"),
        (InterruptReason.DRAIN, "terraform apply was stopped because the worker shuts down"),
        (
            InterruptReason.LEASE_LOST,
            "terraform apply was stopped because the worker lost its lease of the job",
        ),
    ],
)
def test_an_interrupted_apply_ends_cleanly_and_keeps_the_state(
    make_build: MakeBuild, reason: InterruptReason, told: str
) -> None:
    build = make_build(SLOW)
    build.interrupt_on("busy", reason)
    with pytest.raises(EngineInterruptedError) as interrupted:
        build.plan_and_apply()
    assert (str(interrupted.value), interrupted.value.clean) == (told, True)
    assert names_in(interrupted.value.state) == {"quick", "slow"}


def test_a_resource_that_was_interrupted_is_made_anew_by_the_next_build(
    make_build: MakeBuild,
) -> None:
    build = make_build(SLOW)
    build.interrupt_on("busy")
    with pytest.raises(EngineInterruptedError) as interrupted:
        build.plan_and_apply()
    after = make_build(SLOW.replace("sleep 600", "true"), state=interrupted.value.state)
    after.plan_and_apply()
    assert "terraform_data.slow: Plan to replace" in after.text
    assert "terraform_data.quick: Plan" not in after.text


def test_a_stage_that_takes_too_long_is_interrupted(make_build: MakeBuild) -> None:
    build = make_build(SLOW, timeout=timedelta(seconds=1))
    with pytest.raises(EngineInterruptedError, match=r"because it took longer than 0:00:01$"):
        build.plan_and_apply()
    assert build.context.interrupt.reason is InterruptReason.DEADLINE


@pytest.mark.parametrize("operation", ["init", "plan", "apply"])
def test_nothing_starts_after_an_interrupt(
    make_build: MakeBuild, make_fake: MakeFake, operation: str
) -> None:
    fake = make_fake(init="touch started", apply="touch started")
    build = make_build({"main.tf": ""}, fake)
    build.context.interrupt.request(InterruptReason.CANCEL)
    with pytest.raises(EngineInterruptedError, match=rf"^terraform {operation} was canceled$"):
        getattr(build.engine, operation)(build.context)
    assert not (build.context.directory / "started").exists()


def test_an_apply_that_ignores_the_interrupt_is_killed(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    fake = make_fake(apply=f"trap '' INT; echo '{STATE}' > terraform.tfstate; echo go; sleep 600")
    build = make_build({"main.tf": ""}, fake)
    build.engine = TerraformEngine(fake, grace=timedelta(seconds=0.2))
    build.interrupt_on("go")
    with pytest.raises(EngineInterruptedError) as interrupted:
        build.engine.apply(build.context)
    assert not interrupted.value.clean
    assert state_of(interrupted.value.state).serial == 7


def test_a_kill_amid_the_writing_of_the_state_leaves_the_one_before(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    fake = make_fake(apply="trap '' INT; printf '{' > terraform.tfstate; echo go; sleep 600")
    build = make_build({"main.tf": ""}, fake, state=STATE.encode())
    build.engine = TerraformEngine(fake, grace=timedelta(seconds=0.2))
    build.interrupt_on("go")
    with pytest.raises(EngineInterruptedError) as interrupted:
        build.plan_and_apply()
    assert interrupted.value.state == STATE.encode()


def kill_launcher(line: str) -> None:
    if line.startswith("launcher "):
        os.kill(int(line.removeprefix("launcher ")), signal.SIGKILL)


def test_an_apply_whose_launcher_is_killed_fails_with_its_state_and_the_reason(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    fake = make_fake(
        apply=f"trap 'exit 1' INT; echo '{STATE}' > terraform.tfstate; echo launcher $PPID; "
        "until [ -e never ]; do sleep 0.01; done"
    )
    build = make_build({"main.tf": ""}, fake)
    # Not by the program itself, which may be faster than the answer that it was started.
    build.on_line = kill_launcher
    with pytest.raises(EngineError) as failed:
        build.engine.apply(build.context)
    assert state_of(failed.value.state).serial == 7
    assert str(failed.value) == (
        "terraform apply: the process that watches over it was killed, so it was stopped; "
        "see whether the worker's host runs out of memory, then start the build again"
    )


def test_an_apply_that_succeeds_in_spite_of_an_interrupt_is_applied(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    fake = make_fake(
        apply=f"trap 'touch heard' INT; echo go; until [ -e heard ]; do sleep 0.01; done; "
        f"echo '{STATE}' > terraform.tfstate; exit 0"
    )
    build = make_build({"main.tf": ""}, fake)
    build.interrupt_on("go")
    assert state_of(build.engine.apply(build.context).state).serial == 7


def test_a_grandchild_that_keeps_the_output_open_does_not_hold_up_the_build(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    build = make_build({"main.tf": ""}, make_fake(apply="sleep 600 & echo pid=$!; exit 0"))
    build.engine.apply(build.context)
    pid = int(build.text.removeprefix("pid="))
    wait_until_gone(pid)


def test_a_line_of_ten_megabytes_is_cut_in_the_log(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    script = "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo next"
    build = make_build({"main.tf": ""}, make_fake(apply=script))
    build.engine.apply(build.context)
    assert build.lines == [
        (LogLevel.INFO, "x" * MAX_LOGGED + "…"),
        (LogLevel.INFO, "next"),
    ]


def test_a_flood_of_lines_arrives_whole_and_in_order(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    build = make_build({"main.tf": ""}, make_fake(apply="seq 1 100000"))
    build.engine.apply(build.context)
    assert [int(text) for _level, text in build.lines] == list(range(1, 100_001))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "printf '╷\\n│ Error: Saved plan is stale\\n│ \\n│ Plan again.\\n╵\\n' >&2; exit 1",
            "terraform apply: Saved plan is stale Plan again. (exit status 1)",
            id="an error as text",
        ),
        pytest.param(
            "echo 'panic: nil map' >&2; exit 11",
            "terraform apply: panic: nil map (exit status 11)",
            id="other text",
        ),
        pytest.param(
            "echo 'panic: nil map' >&2; seq 1 50 >&2; exit 2",
            "terraform apply: panic: nil map (exit status 2)",
            id="a crash with a long dump",
        ),
        pytest.param(
            "echo 'fatal error: runtime: out of memory' >&2; seq 1 50 >&2; exit 2",
            "terraform apply: it used more memory than a build may use"
            " (PROVISIONERD_JOB_MEMORY_MEGABYTES)",
            id="no memory left",
        ),
        pytest.param("exit 2", "terraform apply: exit status 2", id="nothing"),
        pytest.param("kill -9 $$", "terraform apply: signal 9", id="killed by another"),
    ],
)
def test_a_failure_without_a_diagnostic_is_explained_by_its_error_output(
    make_build: MakeBuild, make_fake: MakeFake, script: str, expected: str
) -> None:
    build = make_build({"main.tf": ""}, make_fake(apply=script))
    with pytest.raises(EngineError) as failed:
        build.engine.apply(build.context)
    assert str(failed.value) == expected


def test_error_output_is_logged_as_errors(make_build: MakeBuild, make_fake: MakeFake) -> None:
    build = make_build({"main.tf": ""}, make_fake(apply="echo oops >&2"))
    build.engine.apply(build.context)
    assert build.lines == [(LogLevel.ERROR, "oops")]


def test_an_old_terraform_is_refused_before_it_is_used(
    make_build: MakeBuild, make_fake: MakeFake
) -> None:
    build = make_build({"main.tf": ""}, make_fake(version="1.0.0"))
    with pytest.raises(EngineError) as refused:
        build.engine.init(build.context)
    assert str(refused.value) == (
        'terraform version "1.0.0" is too old; provisionerd needs at least "1.1.0"'
    )


@pytest.mark.parametrize(("version", "is_json"), [("1.8.5", False), ("1.9.0", True)])
def test_init_speaks_json_from_1_9(
    make_build: MakeBuild, make_fake: MakeFake, version: str, is_json: bool
) -> None:
    build = make_build({"main.tf": ""}, make_fake(init='echo "$@"', version=version))
    build.engine.init(build.context)
    assert ("-json" in build.text.split()) is is_json


def test_a_binary_that_is_missing_fails_the_build_with_its_path(make_build: MakeBuild) -> None:
    build = make_build({"main.tf": ""}, Path("/nowhere/terraform"))
    with pytest.raises(EngineError, match=r'cannot run "/nowhere/terraform": No such file'):
        build.engine.init(build.context)
