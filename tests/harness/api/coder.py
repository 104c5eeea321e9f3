"""The commands of ``coder``: each makes the calls that the real one makes, in its order."""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.harness.api import shapes
from tests.harness.api.client import AnswerError, Client
from tests.harness.api.strict import ZERO_ID, many
from tests.harness.waiting import DEADLINE_S

POLL_S = 0.2  #: the real one polls each second


class CommandError(Exception):
    """What the command would print after ``error:``; empty when it prints nothing."""


@dataclass
class Followed:
    """What a user saw of a job."""

    stages: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


@dataclass
class Coder:
    """The command line of one user, logged in."""

    client: Client
    seen: Followed = field(default_factory=Followed)

    @classmethod
    def login(cls, url: str, token: str) -> Coder:
        """``coder login URL --token TOKEN``: opens a session and uses its key from then on."""
        client = Client(url, "")
        assert client.send("GET", "users/first").status_code == 200
        client.token = token
        client.token = client.ask("POST", "users/me/keys", shapes.KEY, status=201)["key"]
        assert client.get("users/me", shapes.USER)["username"]
        return cls(client)

    def logout(self) -> None:
        self.client.send("POST", "users/logout")

    def whoami(self) -> dict[str, Any]:
        return self.client.get("users/me", shapes.USER)  # type: ignore[no-any-return]

    def organization(self, name: str = "") -> dict[str, Any]:
        """The step behind every ``--org``."""
        found = self.client.get("users/me/organizations", many(shapes.ORGANIZATION))
        if name:
            found = [home for home in found if name in {home["name"], home["id"]}]
        if len(found) != 1:
            raise CommandError("Must select an organization with --org")
        return found[0]  # type: ignore[no-any-return]

    def template(self, name: str) -> dict[str, Any]:
        home = self.organization()
        path = f"organizations/{home['id']}/templates/{name}"
        return self.client.get(path, shapes.TEMPLATE)  # type: ignore[no-any-return]

    # Templates

    def templates_push(
        self,
        name: str,
        archive: bytes,
        *,
        version: str = "",
        variables: Mapping[str, str] | None = None,
        activate: bool = True,
        answers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """``coder templates push``. ``answers`` are given when it asks for a variable."""
        home = self.organization()
        try:
            template = self.client.get(
                f"organizations/{home['id']}/templates/{name}", shapes.TEMPLATE
            )
        except AnswerError as error:
            if error.status != 404:
                raise
            template = None
        tags: Mapping[str, str] = {}
        if template and template["active_version_id"] != ZERO_ID:
            active = self.client.get(
                f"templateversions/{template['active_version_id']}", shapes.VERSION
            )
            tags = active["job"]["tags"]
        file_id = self.client.upload(archive)
        values = dict(variables or {})
        while True:
            made = self._create_version(home, template, file_id, version, tags, values)
            path = f"templateversions/{made['id']}"
            try:
                self.follow(path, shapes.VERSION, lambda found: found["job"])
                break
            except CommandError:
                values |= self._missing_variables(path, answers or {}, values)
        made = self.client.get(path, shapes.VERSION)
        assert made["job"]["status"] == "succeeded"
        self.client.get(f"{path}/resources", many(shapes.RESOURCE))
        if template is None:
            body = {
                "name": name,
                "template_version_id": made["id"],
                "max_port_share_level": None,
                "allow_user_cancel_workspace_jobs": None,
                "require_active_version": False,
            }
            self.client.ask(
                "POST",
                f"organizations/{home['id']}/templates",
                shapes.TEMPLATE,
                status=201,
                body=body,
            )
        elif activate:
            self.client.ask(
                "PATCH",
                f"templates/{template['id']}/versions",
                shapes.MESSAGE,
                body={"id": made["id"]},
            )
        return made  # type: ignore[no-any-return]

    def _create_version(
        self,
        home: Mapping[str, Any],
        template: Mapping[str, Any] | None,
        file_id: uuid.UUID,
        name: str,
        tags: Mapping[str, str],
        values: Mapping[str, str],
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "message": "Uploaded from the CLI",
            "template_id": template["id"] if template else ZERO_ID,
            "storage_method": "file",
            "file_id": str(file_id),
            "provisioner": "terraform",
            "tags": dict(tags) or None,
        }
        if name:
            body["name"] = name
        if values:
            body["user_variable_values"] = [
                {"name": key, "value": value} for key, value in values.items()
            ]
        path = f"organizations/{home['id']}/templateversions"
        return self.client.ask("POST", path, shapes.VERSION, status=201, body=body)  # type: ignore[no-any-return]

    def _missing_variables(
        self, path: str, answers: Mapping[str, str], given: Mapping[str, str]
    ) -> dict[str, str]:
        version = self.client.get(path, shapes.VERSION)
        if version["job"]["error_code"] != "REQUIRED_TEMPLATE_VARIABLES":
            raise CommandError(version["job"]["error"])
        variables = self.client.get(f"{path}/variables", many(shapes.VARIABLE))
        wanted = [found["name"] for found in variables if found["required"]]
        asked = {name: answers[name] for name in wanted if name in answers and name not in given}
        if not asked:
            raise CommandError(version["job"]["error"])
        return asked

    def templates_list(self) -> list[dict[str, Any]]:
        return self.client.get("templates?q=", many(shapes.TEMPLATE))  # type: ignore[no-any-return]

    def versions_list(self, name: str) -> list[dict[str, Any]]:
        path = f"templates/{self.template(name)['id']}/versions"
        return self.client.get(path, many(shapes.VERSION))  # type: ignore[no-any-return]

    def versions_promote(self, name: str, version: str) -> None:
        template = self.template(name)
        path = f"templates/{template['id']}/versions"
        found = self.client.get(f"{path}/{version}", shapes.VERSION)
        self.client.ask("PATCH", path, shapes.MESSAGE, body={"id": found["id"]})

    def templates_pull(self, name: str) -> bytes:
        template = self.template(name)
        versions = self.client.get(f"templates/{template['id']}/versions", many(shapes.VERSION))
        assert versions, "the command refuses a template without versions"
        active = self.client.get(
            f"templateversions/{template['active_version_id']}", shapes.VERSION
        )
        answer = self.client.send("GET", f"files/{active['job']['file_id']}?format=")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-tar")
        return answer.content

    def templates_edit(self, name: str, **changes: object) -> dict[str, Any]:
        path = f"templates/{self.template(name)['id']}"
        return self.client.ask("PATCH", path, shapes.TEMPLATE, body=changes)  # type: ignore[no-any-return]

    def templates_delete(self, name: str) -> None:
        self.client.ask("DELETE", f"templates/{self.template(name)['id']}", shapes.MESSAGE)

    # Workspaces

    def workspaces(self, query: str = "owner%3Ame") -> list[dict[str, Any]]:
        found = self.client.get(f"workspaces?q={query}", shapes.WORKSPACES)
        assert found["count"] == len(found["workspaces"])
        return found["workspaces"]  # type: ignore[no-any-return]

    def workspace(self, reference: str) -> dict[str, Any]:
        if re.fullmatch(r"[0-9a-f-]{36}", reference):
            return self.client.get(f"workspaces/{reference}", shapes.WORKSPACE)  # type: ignore[no-any-return]
        owner, _, name = reference.rpartition("/")
        path = f"users/{owner or 'me'}/workspace/{name}?include_deleted=false"
        return self.client.get(path, shapes.WORKSPACE)  # type: ignore[no-any-return]

    def show(self, reference: str) -> dict[str, Any]:
        self.client.get("buildinfo", shapes.BUILD_INFO)
        return self.workspace(reference)

    def create(
        self,
        name: str,
        template: str,
        *,
        parameters: Mapping[str, str] | None = None,
        preset: str = "",
        owner: str = "me",
    ) -> dict[str, Any]:
        path = f"users/{owner}/workspace/{name}?include_deleted=false"
        if self.client.send("GET", path).status_code == 200:
            raise CommandError("a workspace already exists named")
        found = self.client.get(f'templates?q=exact_name%3A"{template}"', many(shapes.TEMPLATE))
        if not found:
            raise CommandError(f"no template found with the name {template!r}")
        version_id = found[0]["active_version_id"]
        presets = self.client.get(f"templateversions/{version_id}/presets", many(shapes.PRESET))
        chosen = next(
            (one for one in presets if (one["Name"] == preset if preset else one["Default"])), None
        )
        values = dict(parameters or {})
        if chosen:
            values |= {pair["Name"]: pair["Value"] for pair in chosen["Parameters"]}
        given = self._prepare(version_id, name, values, is_new=True)
        body = {
            "template_id": ZERO_ID,
            "template_version_id": version_id,
            "name": name,
            "rich_parameter_values": given,
            "automatic_updates": "never",
            "template_version_preset_id": chosen["ID"] if chosen else ZERO_ID,
        }
        made = self.client.ask(
            "POST", f"users/{owner}/workspaces", shapes.WORKSPACE, status=201, body=body
        )
        self._follow_build(made["latest_build"])
        return made  # type: ignore[no-any-return]

    def _prepare(
        self, version_id: str, name: str, values: Mapping[str, str], *, is_new: bool
    ) -> list[dict[str, str]]:
        """Ask what a version needs, and preview it when it is new to the workspace."""
        path = f"templateversions/{version_id}"
        version = self.client.get(path, shapes.VERSION)
        template = self.client.get(f"templates/{version['template_id']}", shapes.TEMPLATE)
        assert template["use_classic_parameter_flow"]
        declared = self.client.get(f"{path}/rich-parameters", many(shapes.PARAMETER))
        known = {parameter["name"] for parameter in declared}
        for key in values:
            if key not in known:
                raise CommandError(f'parameter "{key}" is not present in the template.')
        # As if each prompt was answered with a blank line.
        defaults = {one["name"]: one["default_value"] for one in declared if not one["ephemeral"]}
        chosen = {**defaults, **values} if is_new else dict(values)
        given = [{"name": key, "value": value} for key, value in chosen.items()]
        self.client.get(f"{path}/external-auth", many(shapes.EXTERNAL_AUTH))
        if is_new:
            self._dry_run(path, name, given)
        return given

    def _dry_run(self, version: str, name: str, given: Sequence[Mapping[str, str]]) -> None:
        body = {"workspace_name": name, "rich_parameter_values": list(given) or None}
        job = self.client.ask("POST", f"{version}/dry-run", shapes.JOB, status=201, body=body)
        path = f"{version}/dry-run/{job['id']}"
        self.client.get(f"{path}/matched-provisioners", shapes.MATCHED)
        self.follow(path, shapes.JOB, lambda found: found)
        self.client.get(f"{path}/resources", many(shapes.RESOURCE))

    def _follow_build(self, build: Mapping[str, Any]) -> None:
        self.follow(f"workspacebuilds/{build['id']}", shapes.BUILD, lambda found: found["job"])

    def build(
        self, reference: str, transition: str, *, version: str = ZERO_ID, **body: Any
    ) -> dict[str, Any]:
        """Enqueue a build, and follow it."""
        workspace = self.workspace(reference)
        given = {"transition": transition, "template_version_id": version, **body}
        path = f"workspaces/{workspace['id']}/builds"
        made = self.client.ask("POST", path, shapes.BUILD, status=201, body=given)
        self._follow_build(made)
        return made  # type: ignore[no-any-return]

    def stop(self, reference: str) -> dict[str, Any]:
        return self.build(reference, "stop")

    def start(self, reference: str, **parameters: str) -> dict[str, Any]:
        workspace = self.workspace(reference)
        latest = workspace["latest_build"]
        if latest["status"] in {"running", "starting"}:
            raise CommandError("already running")
        if latest["status"] == "failed" and latest["transition"] == "start":
            self.build(reference, "stop")
            latest = self.workspace(reference)["latest_build"]
        self.client.get(f"workspacebuilds/{latest['id']}/parameters", many(shapes.NAME_VALUE))
        active = workspace["template_active_version_id"]
        wants_active = (
            workspace["automatic_updates"] == "always"
            or workspace["template_require_active_version"]
        )
        version_id = active if wants_active else latest["template_version_id"]
        try:
            return self._start(workspace, version_id, parameters)
        except AnswerError as error:
            if error.status != 403:
                raise
            return self._start(workspace, active, parameters)

    def _start(
        self, workspace: Mapping[str, Any], version_id: str, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        is_update = version_id != workspace["latest_build"]["template_version_id"]
        given = self._prepare(version_id, workspace["name"], parameters, is_new=is_update)
        return self.build(
            workspace["id"], "start", version=version_id, rich_parameter_values=given, reason="cli"
        )

    def restart(self, reference: str) -> dict[str, Any]:
        self.build(reference, "stop", rich_parameter_values=None)
        return self.start(reference)

    def update(self, reference: str) -> dict[str, Any] | None:
        workspace = self.workspace(reference)
        if not workspace["outdated"]:
            return None
        if workspace["latest_build"]["transition"] == "start":
            self.build(reference, "stop")
        latest = workspace["latest_build"]["id"]
        earlier = self.client.get(f"workspacebuilds/{latest}/parameters", many(shapes.NAME_VALUE))
        version_id = workspace["template_active_version_id"]
        given = self._prepare(
            version_id,
            workspace["name"],
            {pair["name"]: pair["value"] for pair in earlier},
            is_new=True,
        )
        return self.build(reference, "start", version=version_id, rich_parameter_values=given)

    def delete(self, reference: str, *, orphan: bool = False) -> dict[str, Any]:
        return self.build(reference, "delete", orphan=orphan or None)

    def rename(self, reference: str, name: str) -> None:
        self.client.send("GET", "appearance")
        workspace = self.workspace(reference)
        self.client.ask("PATCH", f"workspaces/{workspace['id']}", status=204, body={"name": name})

    def favorite(self, reference: str, *, is_favorite: bool = True) -> None:
        workspace = self.workspace(reference)
        method = "PUT" if is_favorite else "DELETE"
        self.client.ask(method, f"workspaces/{workspace['id']}/favorite", status=204)

    def state_pull(self, reference: str, number: int | None = None) -> bytes:
        build = self._build_of(reference, number)
        answer = self.client.send("GET", f"workspacebuilds/{build['id']}/state")
        if answer.status_code != 200:
            raise AnswerError(answer)
        return answer.content

    def state_push(self, reference: str, state: bytes, *, no_build: bool = False) -> None:
        build = self._build_of(reference, None)
        text = base64.b64encode(state).decode()
        if no_build:
            path = f"workspacebuilds/{build['id']}/state"
            self.client.ask("PUT", path, status=204, body={"state": text})
            return
        self.build(reference, build["transition"], version=build["template_version_id"], state=text)

    def _build_of(self, reference: str, number: int | None) -> dict[str, Any]:
        if number is None:
            return self.workspace(reference)["latest_build"]  # type: ignore[no-any-return]
        owner, _, name = reference.rpartition("/")
        path = f"users/{owner or 'me'}/workspace/{name}/builds/{number}"
        return self.client.get(path, shapes.BUILD)  # type: ignore[no-any-return]

    # Jobs

    def provisioner_list(self) -> list[dict[str, Any]]:
        path = f"organizations/{self.organization()['id']}/provisionerdaemons?limit=50"
        return self.client.get(path, many(shapes.DAEMON))  # type: ignore[no-any-return]

    def jobs_list(self, status: str = "") -> list[dict[str, Any]]:
        query = f"limit=50&status={status}" if status else "limit=50"
        path = f"organizations/{self.organization()['id']}/provisionerjobs?{query}"
        return self.client.get(path, many(shapes.JOB))  # type: ignore[no-any-return]

    def jobs_cancel(self, job_id: str) -> None:
        path = f"organizations/{self.organization()['id']}/provisionerjobs/{job_id}"
        job = self.client.get(path, shapes.JOB)
        given = job["input"]
        where = {
            "template_version_import": f"templateversions/{given['template_version_id']}/cancel",
            "workspace_build": (
                f"workspacebuilds/{given['workspace_build_id']}/cancel?expect_status="
            ),
            "template_version_dry_run": (
                f"templateversions/{given['template_version_id']}/dry-run/{job_id}/cancel"
            ),
        }
        self.client.ask("PATCH", where[job["type"]], shapes.MESSAGE)

    def follow(self, path: str, shape: Any, job_of: Callable[[Any], Mapping[str, Any]]) -> Any:
        """Follow a job as the command line does: poll the object, and print what the socket sends.

        Raises:
            CommandError: the job did not succeed.
        """
        self.seen = Followed()
        job_of(self.client.get(path, shape))
        polled: list[Any] = []
        stopped = threading.Event()

        def poll() -> None:
            poller = Client(self.client.url, self.client.token)
            while not stopped.wait(POLL_S):
                polled.append(poller.get(path, shape))
            poller.close()

        thread = threading.Thread(target=poll, name="poller")
        thread.start()
        begun = time.monotonic()
        try:
            with self.client.logs(f"{path}/logs?follow") as lines:
                for line in lines:
                    self._print(line)
        finally:
            stopped.set()
            thread.join(DEADLINE_S)
        assert time.monotonic() - begun < DEADLINE_S
        last = self.client.get(path, shape)
        job = job_of(last)
        if job["status"] == "canceled":
            raise CommandError
        if job["status"] != "succeeded":
            # Empty if the socket was closed before the job had ended.
            raise CommandError(job["error"])
        return last

    def _print(self, line: Mapping[str, Any]) -> None:
        assert not self.seen.ids or line["id"] > self.seen.ids[-1]
        self.seen.ids.append(line["id"])
        stage = line["stage"]
        if stage and (not self.seen.stages or stage != self.seen.stages[-1]):
            # The command throws away the text of the line that begins a stage.
            self.seen.stages.append(stage)
        else:
            self.seen.lines.append(line["output"])
