from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.jobs.declarations import TemplateParameter, TemplateVariable
from db.jobs.resources import Resource
from db.schema.enums import LogLevel, Transition
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import (
    BuildContext,
    Engine,
    EngineError,
    EngineInterruptedError,
)
from provisioner.host.archive import TemplateFiles, read_archive
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.packing import pack_template

ENGINE: Engine = EchoEngine()
OPERATIONS: dict[str, Callable[[BuildContext], Any]] = {
    "init": ENGINE.init,
    "plan": ENGINE.plan,
    "apply": ENGINE.apply,
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


def files(script: object) -> TemplateFiles:
    text = script if isinstance(script, str) else json.dumps(script)
    return {"echo.json": memoryview(text.encode())}


def context(
    script: object,
    *,
    transition: Transition = Transition.START,
    logs: list[tuple[LogLevel, str]] | None = None,
    state: bytes | None = None,
    states: list[bytes] | None = None,
    interrupt: Interrupt | None = None,
    timeout: timedelta = timedelta(minutes=1),
) -> BuildContext:
    return BuildContext(
        files=files(script),
        directory=Path("/nowhere"),
        transition=transition,
        environment={},
        variables={},
        sensitive=frozenset(),
        log=lambda level, line: (logs if logs is not None else []).append((level, line)),
        interrupt=interrupt or Interrupt(),
        timeout=timeout,
        state=state,
        on_state=(states if states is not None else []).append,
    )


def interrupted() -> Interrupt:
    interrupt = Interrupt()
    interrupt.request(InterruptReason.CANCEL)
    return interrupt


def test_an_empty_script_is_a_build_that_costs_nothing() -> None:
    build = context({})
    ENGINE.init(build)
    assert ENGINE.plan(build).daily_cost == 0
    assert ENGINE.apply(build).resources == ()


def test_parse_gives_what_the_script_declares() -> None:
    script = {
        "parse": {
            "variables": [{"name": "v", "required": True, "sensitive": True, "type": "number"}],
            "parameters": [{"name": "p", "default": "2"}],
        }
    }
    template = ENGINE.parse(files(script))
    assert template.variables == (
        TemplateVariable(name="v", required=True, sensitive=True, type="number"),
    )
    assert template.parameters == (TemplateParameter(name="p", required=False, default="2"),)


def test_parse_fails_with_the_scripts_error() -> None:
    with pytest.raises(EngineError, match=r"^no such module$"):
        ENGINE.parse(files({"parse": {"error": "no such module"}}))


@each_operation
def test_logs_are_written_in_order_and_repeated(operation: str) -> None:
    logs: list[tuple[LogLevel, str]] = []
    lines = [{"level": "warn", "output": "a"}, {"output": "b"}]
    build = context({operation: {"logs": lines, "repeat_logs": 2}}, logs=logs)
    OPERATIONS[operation](build)
    assert logs == [(LogLevel.WARN, "a"), (LogLevel.INFO, "b")] * 2


@each_operation
def test_an_error_fails_the_operation_with_its_text(operation: str) -> None:
    build = context({operation: {"error": "insufficient quota in us-east1"}})
    with pytest.raises(EngineError, match=r"^insufficient quota in us-east1$"):
        OPERATIONS[operation](build)


@each_operation
def test_a_transitions_operation_stands_in_place_of_the_general_one(operation: str) -> None:
    script = {operation: {"error": "general"}, "stop": {operation: {}}}
    OPERATIONS[operation](context(script, transition=Transition.STOP))
    with pytest.raises(EngineError, match="general"):
        OPERATIONS[operation](context(script, transition=Transition.DELETE))


@each_operation
def test_a_waiting_operation_ends_with_the_interrupt(operation: str) -> None:
    interrupt, waiting = Interrupt(), threading.Event()
    build = context(
        {operation: {"wait": True, "logs": [{"output": "waiting"}]}}, interrupt=interrupt
    )
    object.__setattr__(build, "log", lambda _level, _line: waiting.set())
    caught: list[BaseException] = []

    def run() -> None:
        try:
            OPERATIONS[operation](build)
        except EngineInterruptedError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert waiting.wait(10)
    interrupt.request(InterruptReason.DRAIN)
    thread.join(10)
    assert [str(error) for error in caught] == [f"{operation} was interrupted (drain)"]


@each_operation
def test_an_operation_does_not_begin_after_an_interrupt(operation: str) -> None:
    states: list[bytes] = []
    build = context({}, interrupt=interrupted(), states=states)
    with pytest.raises(EngineInterruptedError) as caught:
        OPERATIONS[operation](build)
    assert (caught.value.clean, caught.value.state, states) == (True, None, [])


@each_operation
def test_a_waiting_operation_ends_at_its_deadline(operation: str) -> None:
    build = context({operation: {"wait": True}}, timeout=timedelta(milliseconds=1))
    with pytest.raises(EngineError, match=f"^{operation} took longer than 0.001 seconds$"):
        OPERATIONS[operation](build)


def test_a_plan_costs_what_the_script_says() -> None:
    assert ENGINE.plan(context({"plan": {"daily_cost": 7}})).daily_cost == 7


def test_a_plan_without_a_cost_costs_what_its_resources_cost() -> None:
    disks = [{"type": "disk", "name": name, "daily_cost": 2} for name in "ab"]
    assert ENGINE.plan(context({"apply": {"resources": disks}})).daily_cost == 4


def test_a_sum_of_costs_beyond_32_bits_is_an_error() -> None:
    disks = [{"type": "disk", "name": name, "daily_cost": 2**31 - 1} for name in "ab"]
    with pytest.raises(EngineError, match="more than can be counted"):
        ENGINE.plan(context({"apply": {"resources": disks}}))


def test_an_apply_gives_the_scripts_resources() -> None:
    script = {"apply": {"resources": [{"type": "disk", "name": "home", "daily_cost": 2}]}}
    assert ENGINE.apply(context(script)).resources == (
        Resource(type="disk", name="home", daily_cost=2),
    )


def test_the_first_state_has_serial_one_and_a_lineage() -> None:
    state = json.loads(ENGINE.apply(context({})).state or b"")
    assert (state["version"], state["serial"], len(state["lineage"])) == (4, 1, 36)


def test_the_next_state_keeps_the_lineage_and_counts_on() -> None:
    earlier = json.dumps({"version": 4, "serial": 6, "lineage": "l"}).encode()
    state = json.loads(ENGINE.apply(context({}, state=earlier)).state or b"")
    assert (state["serial"], state["lineage"]) == (7, "l")


def test_a_delete_leaves_no_resources_in_the_state() -> None:
    script = {"apply": {"resources": [{"type": "disk", "name": "home"}]}}
    build = context(script, transition=Transition.DELETE)
    assert json.loads(ENGINE.apply(build).state or b"")["resources"] == []


def test_a_scripted_state_is_given_as_it_is() -> None:
    build = context({"apply": {"state": {"serial": 1}}})
    assert json.loads(ENGINE.apply(build).state or b"") == {"serial": 1}


def test_an_apply_can_leave_no_state() -> None:
    states: list[bytes] = []
    build = context({"apply": {"state": None}}, states=states)
    assert (ENGINE.apply(build).state, states) == (None, [])


def test_a_failed_apply_hands_over_its_state_twice() -> None:
    states: list[bytes] = []
    build = context({"apply": {"state": {"serial": 1}, "error": "no"}}, states=states)
    with pytest.raises(EngineError) as caught:
        ENGINE.apply(build)
    assert [caught.value.state] == states


@pytest.mark.parametrize(
    ("script", "place"),
    [
        pytest.param("{", "the file", id="not JSON"),
        pytest.param("[]", "the file", id="not an object"),
        pytest.param({"aply": {}}, "aply", id="unknown part"),
        pytest.param({"plan": {"daily_cost": -1}}, "plan.daily_cost", id="negative cost"),
        pytest.param({"plan": {"daily_cost": 2**31}}, "plan.daily_cost", id="cost too high"),
        pytest.param({"plan": {"daily_cost": 1.5}}, "plan.daily_cost", id="fraction"),
        pytest.param({"apply": {"state": "x"}}, "apply.state", id="state is no object"),
        pytest.param({"init": {"logs": [{"level": "loud"}]}}, "init.logs.0.level", id="level"),
        pytest.param({"stop": {"init": {"wait": "x"}}}, "stop.init.wait", id="transition"),
    ],
)
def test_a_wrong_script_is_one_sentence_with_the_place(script: object, place: str) -> None:
    with pytest.raises(EngineError, match=f"^echo.json is not a script: {place}") as caught:
        ENGINE.init(context(script))
    assert "\n" not in str(caught.value)


def test_a_template_without_a_script_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"no echo\.json in its root"):
        ENGINE.parse({})


def test_an_echo_template_can_be_packed_and_played(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text("# played by echo.json\n")
    (tmp_path / "echo.json").write_text('{"parse": {"parameters": [{"name": "size"}]}}')
    template = ENGINE.parse(read_archive(pack_template(tmp_path)))
    assert [found.name for found in template.parameters] == ["size"]
