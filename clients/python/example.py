"""Start a workspace, wait for the build, and show its log.

Usage: example.py TEMPLATE NAME

PROVISIONERD_URL names the server; PROVISIONERD_TOKEN is what `provisionerd token create` printed.
The exit status is 0 when the build succeeded, 3 when the quota refused it, and 1 otherwise.
"""

import os
import sys
import time

from provisionerd_client import AuthenticatedClient
from provisionerd_client.api.builds import (
    builds_add_build,
    builds_read_build,
    builds_read_build_log,
)
from provisionerd_client.api.templates import templates_list_templates
from provisionerd_client.api.users import users_read_user
from provisionerd_client.api.workspaces import (
    workspaces_add_workspace,
    workspaces_list_workspaces,
)
from provisionerd_client.models import (
    CreateBuild,
    CreateWorkspace,
    JobErrorCode,
    JobStatus,
    Message,
    Transition,
    WorkspaceBuild,
)

POLL_S = float(os.environ.get("POLL_S", "2"))
ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}


def ok(answer):
    """Return an answer; an error ends the program with its message."""
    if answer is None or isinstance(answer, Message):
        sys.exit(answer.message if answer else "the server gave no answer")
    return answer


def start(client: AuthenticatedClient, template: str, name: str) -> WorkspaceBuild:
    """Start the caller's workspace of that name; create it if there is none."""
    mine = ok(workspaces_list_workspaces.sync(client=client, q=f"owner:me name:{name}"))
    for workspace in mine.workspaces:
        if workspace.name == name:
            body = CreateBuild(transition=Transition.START)
            return ok(builds_add_build.sync(workspace.id, client=client, body=body))
    templates = {one.name: one.id for one in ok(templates_list_templates.sync(client=client))}
    body = CreateWorkspace(name=name, template_id=templates[template])
    return ok(workspaces_add_workspace.sync("me", client=client, body=body)).latest_build


def wait(client: AuthenticatedClient, build: WorkspaceBuild) -> WorkspaceBuild:
    """Wait until the build has ended."""
    while build.job.status not in ENDED:
        time.sleep(POLL_S)
        build = ok(builds_read_build.sync(build.id, client=client))
    return build


def main() -> int:
    url, token = os.environ["PROVISIONERD_URL"], os.environ["PROVISIONERD_TOKEN"]
    with AuthenticatedClient(url, token=token) as client:
        print("logged in as", ok(users_read_user.sync("me", client=client)).username)
        build = wait(client, start(client, *sys.argv[1:3]))
        for line in ok(builds_read_build_log.sync(build.id, client=client)):
            print(f"[{line.stage}] {line.output}")
    if build.job.status is JobStatus.SUCCEEDED:
        print(build.workspace_name, "costs", build.daily_cost, "credits per day")
        return 0
    print(build.job.error, file=sys.stderr)
    return 3 if build.job.error_code is JobErrorCode.INSUFFICIENT_QUOTA else 1


if __name__ == "__main__":
    sys.exit(main())
