"""A Terraform provider for a cloud that is one folder: a machine exists while its file does.

Demo and tests run real Terraform against it, with real creates, reads, deletes
and error diagnostics, and no network. Each machine is a JSON file ``<id>.json``.

Plain imports on purpose: Terraform starts this program for every plan and every
apply, and waits for it.
"""

from __future__ import annotations

import functools
import json
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from tf import runner
from tf.iface import Config, CreateContext, DeleteContext, ReadContext, State, UpdateContext
from tf.schema import Attribute, Schema
from tf.types import Number, String
from tf.utils import Diagnostics

SOURCE = "provisionerd.test/demo/ledger"
VERSION = "1.0.0"


class Machine:
    """The resource ``ledger_machine``."""

    def __init__(self, provider: Ledger) -> None:
        self._stopping = provider.stopping

    @classmethod
    def get_name(cls) -> str:
        return "machine"

    @classmethod
    def get_schema(cls) -> Schema:
        return Schema(
            version=1,
            attributes=[
                Attribute("ledger", String(), "the folder", required=True, requires_replace=True),
                Attribute("name", String(), required=True),
                Attribute("workspace", String(), optional=True),
                Attribute("create_seconds", Number(), "how long a create takes", optional=True),
                Attribute(
                    "stop_seconds",
                    Number(),
                    "how long an interrupted create takes to answer",
                    optional=True,
                ),
                Attribute(
                    "fail_with", String(), "the error that a create ends with", optional=True
                ),
                Attribute("daily_cost", Number(), "noted, never a price", optional=True),
                Attribute("id", String(), computed=True),
                Attribute("created_at", String(), computed=True),
            ],
        )

    def validate(self, diags: Diagnostics, type_name: str, config: Config) -> None:
        for name in ("create_seconds", "stop_seconds"):
            if _is_negative(config.get(name)):
                diags.add_error(f"{type_name}.{name} must not be negative.")

    def create(self, ctx: CreateContext, planned: State) -> State | None:
        if planned["fail_with"]:
            ctx.diagnostics.add_error(planned["fail_with"])
            return None
        machine = planned | {"id": uuid.uuid4().hex, "created_at": _now()}
        if not _write(ctx.diagnostics, machine):
            return None
        # The machine exists from here on. An error together with a returned state makes
        # Terraform keep it as tainted; without the state it would be an orphan.
        if self._stopping.wait(machine["create_seconds"] or 0):
            time.sleep(machine["stop_seconds"] or 0)
            name = machine["name"]
            ctx.diagnostics.add_error(f"creating machine {name} was interrupted before it was done")
        return machine

    def read(self, ctx: ReadContext, current: State) -> State | None:
        try:
            found = json.loads(_path(current).read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            ctx.diagnostics.add_error(f"machine {current['name']} cannot be read", str(error))
            return current
        return current | found

    def plan(self, _ctx: object, _current: State, planned: State) -> State:
        return planned

    def update(self, ctx: UpdateContext, current: State, planned: State) -> State:
        return planned if _write(ctx.diagnostics, planned) else current

    def delete(self, ctx: DeleteContext, current: State) -> State | None:
        try:
            _path(current).unlink(missing_ok=True)
        except OSError as error:
            ctx.diagnostics.add_error(f"machine {current['name']} cannot be deleted", str(error))
            return current
        return None


class Ledger:
    """The provider. ``stopping`` is set once Terraform asks running creates to end."""

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping

    def get_model_prefix(self) -> str:
        return "ledger_"

    def full_name(self) -> str:
        return SOURCE

    def get_provider_schema(self, _diags: Diagnostics) -> Schema:
        return Schema(version=1)

    def validate_config(self, diags: Diagnostics, config: Config) -> None:
        """Accept everything: there is nothing to configure."""

    def configure_provider(self, diags: Diagnostics, config: Config) -> None:
        """Do nothing: there is nothing to configure."""

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[type[Machine]]:
        return [Machine]

    def get_functions(self) -> list[Any]:
        return []

    def new_resource(self, klass: type[Machine]) -> Machine:
        return klass(self)


class GracefulStop(runner._ShutdownInterceptor):  # type: ignore[misc] # noqa: SLF001 - no public hook
    """Let running calls answer after StopProvider.

    The framework cuts them off, so that Terraform never learns of a machine that was
    being created. Remove once ``tf`` hands StopProvider to the provider.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__()
        self._stopping = stopping

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        if handler_call_details.method.endswith("/StopProvider"):
            self._stopping.set()
            return continuation(handler_call_details)
        return super().intercept_service(continuation, handler_call_details)


def main() -> None:
    # Ctrl+C reaches the whole process group; Terraform tells us by StopProvider.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping = threading.Event()
    runner._ShutdownInterceptor = functools.partial(GracefulStop, stopping)  # noqa: SLF001
    runner.run_provider(Ledger(stopping))


def _is_negative(value: object) -> bool:
    return isinstance(value, int | float) and value < 0


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _path(machine: State) -> Path:
    return Path(machine["ledger"]) / f"{machine['id']}.json"


def _write(diags: Diagnostics, machine: State) -> bool:
    """Write the machine's file, whole or not at all; return whether that worked."""
    path = _path(machine)
    kept = {key: machine[key] for key in ("id", "name", "workspace", "daily_cost", "created_at")}
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(kept, indent=2) + "\n")
        draft.replace(path)
    except OSError as error:
        diags.add_error(f"machine {machine['name']} cannot be written", str(error))
        return False
    return True


if __name__ == "__main__":
    main()
