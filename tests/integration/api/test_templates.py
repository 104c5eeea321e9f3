"""Templates and their versions, as the command line uses them. Imports run Terraform."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from db.schema.tables import User
from tests.harness.api import shapes
from tests.harness.api.client import Client, refused
from tests.harness.api.coder import Coder, CommandError
from tests.harness.api.door import Door
from tests.harness.api.strict import ZERO_ID
from tests.harness.factory import tar_archive

BOX = b"""
resource "terraform_data" "box" {
  input = { daily_cost = 5 }
}
"""
SECRET = b"""
variable "region" { type = string }
variable "token" {
  type      = string
  sensitive = true
  default   = "hidden-default"
}
"""
BROKEN = b'resource "terraform_data" "box" {'


def unclosed(files: dict[str, bytes]) -> bytes:
    """Return a tar as the command makes it: without the blocks that end an archive."""
    whole = tar_archive(files)
    return whole.rstrip(b"\x00") + b"\x00" * (-len(whole.rstrip(b"\x00")) % 512)


@pytest.fixture
def coder(door: Door, owner: User, imports_are_run: None) -> Coder:
    return door.coder(owner)


def test_a_template_is_pushed_used_and_pushed_again(coder: Coder) -> None:
    archive = unclosed({"main.tf": BOX, "README.md": b"# Box\n"})
    first = coder.templates_push("dev", archive)
    assert first["readme"] == "# Box\n"
    coder.create("box", "dev")
    (resource,) = coder.show("box")["latest_build"]["resources"]
    assert (resource["type"], resource["daily_cost"]) == ("terraform_data", 5)
    second = coder.templates_push("dev", tar_archive({"main.tf": BOX + b"# 2\n"}), version="two")
    assert [version["id"] for version in coder.versions_list("dev")] == [first["id"], second["id"]]
    assert coder.workspace("box")["outdated"]
    coder.update("box")
    assert coder.workspace("box")["latest_build"]["template_version_id"] == second["id"]
    coder.versions_promote("dev", first["name"])
    assert coder.templates_pull("dev") == archive + bytes(1024)
    assert coder.templates_edit("dev", description="a box")["description"] == "a box"
    assert refused(lambda: coder.templates_delete("dev")).status == 400
    coder.delete("box")
    coder.templates_delete("dev")
    assert coder.templates_list() == []


def test_a_push_asks_for_a_required_variable(coder: Coder) -> None:
    archive = tar_archive({"main.tf": SECRET})
    with pytest.raises(CommandError, match="region"):
        coder.templates_push("dev", archive)
    version = coder.templates_push("dev", archive, answers={"region": "eu"})
    path = f"templateversions/{version['id']}/variables"
    variables = coder.client.send("GET", path).json()
    assert {one["name"]: one["value"] for one in variables} == {
        "region": "eu",
        "token": "*redacted*",
    }
    assert "hidden-default" not in coder.client.send("GET", path).text


def test_a_version_whose_import_failed_is_not_promoted(coder: Coder) -> None:
    coder.templates_push("dev", tar_archive({"main.tf": BOX}))
    with pytest.raises(CommandError, match=r".+"):
        coder.templates_push("dev", tar_archive({"main.tf": BROKEN}), version="bad")
    error = refused(lambda: coder.versions_promote("dev", "bad"))
    assert (error.status, "successfully" in error.message) == (403, True)
    body = {"template_version_id": coder.versions_list("dev")[1]["id"], "name": "box"}
    error = refused(
        lambda: coder.client.ask(
            "POST", "users/me/workspaces", shapes.WORKSPACE, status=201, body=body
        )
    )
    assert (error.status, "failed to import" in error.message) == (400, True)


def test_a_version_that_is_not_imported_yet_is_refused(admin: Client) -> None:
    coder = Coder(admin)
    home = coder.organization()["id"]
    body = {
        "template_id": ZERO_ID,
        "storage_method": "file",
        "file_id": str(admin.upload(tar_archive({"main.tf": BOX}))),
        "provisioner": "terraform",
        "tags": None,
    }
    path = f"organizations/{home}/templateversions"
    version = admin.ask("POST", path, shapes.VERSION, status=201, body=body)
    assert version["matched_provisioners"]["count"] == 0
    made = {"name": "dev", "template_version_id": version["id"]}
    path = f"organizations/{home}/templates"
    admin.ask("POST", path, shapes.TEMPLATE, status=201, body=made)
    assert refused(lambda: admin.ask("POST", path, status=201, body=made)).status == 400
    given = {"template_version_id": version["id"], "name": "box"}
    error = refused(lambda: admin.ask("POST", "users/me/workspaces", status=201, body=given))
    assert (error.status, "Wait for it" in error.message) == (406, True)
    where = f"templateversions/{version['id']}"
    for name, status in (("rich-parameters", 425), ("variables", 403), ("resources", 400)):
        assert admin.send("GET", f"{where}/{name}").status_code == status
    admin.ask("PATCH", f"{where}/cancel", shapes.MESSAGE)
    assert admin.get(where, shapes.VERSION)["job"]["status"] == "canceled"


def test_an_upload_is_stored_once_and_only_as_an_archive(admin: Client) -> None:
    archive = tar_archive({"main.tf": BOX})
    headers = {**admin.headers, "Content-Type": "application/x-tar"}
    first, second = (
        admin.http.post("/api/v2/files", content=archive, headers=headers) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    wrong = {**headers, "Content-Type": "text/plain"}
    assert admin.http.post("/api/v2/files", content=archive, headers=wrong).status_code == 400


def test_a_zip_is_stored_as_a_tar(admin: Client) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("main.tf", BOX)
    headers = {**admin.headers, "Content-Type": "application/zip"}
    answer = admin.http.post("/api/v2/files", content=content.getvalue(), headers=headers)
    stored = admin.send("GET", f"files/{answer.json()['hash']}").content
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.getnames() == ["main.tf"]
    zipped = admin.send("GET", f"files/{answer.json()['hash']}?format=zip")
    assert zipfile.ZipFile(io.BytesIO(zipped.content)).read("main.tf") == BOX


def test_a_member_may_read_templates_but_not_push_them(
    door: Door, member: Client, owner: User
) -> None:
    door.factory.template(organization=door.organization, created_by=owner, name="dev")
    assert [found["name"] for found in Coder(member).templates_list()] == ["dev"]
    assert refused(lambda: Coder(member).templates_delete("dev")).status == 403
    assert refused(lambda: Coder(member).templates_push("dev", tar_archive({}))).status == 403


def test_a_template_of_another_organization_does_not_exist(door: Door, member: Client) -> None:
    workspace = door.factory.any_workspace()
    error = refused(lambda: member.get(f"templates/{workspace.template_id}", shapes.TEMPLATE))
    assert error.status == 404


def test_no_templates_come_with_the_server(member: Client) -> None:
    answer = member.send("GET", "templates/examples")
    assert (answer.status_code, answer.json()) == (200, [])
