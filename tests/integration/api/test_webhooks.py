"""Webhooks: signed, in order, retried, parked, and never to an address inside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from sqlalchemy import text

from api.webhooks.sender import WebhookSender
from api.webhooks.target import TargetError, is_allowed, post
from db.catalog.deliveries import prune_deliveries
from db.catalog.webhooks import create_webhook, list_webhooks, replay_webhook
from db.engine import Database
from db.jobs.retention import Retention
from db.jobs.transitions import ClaimedJob
from db.schema.tables import User, Workspace
from tests.harness.api.door import Door
from tests.harness.factory import Factory

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Receiver:
    """A server that keeps what it gets, and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[Mapping[str, str], str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A workspace, and a webhook that gets all of its events."""

    database: Database
    factory: Factory
    receiver: Receiver
    workspace: Workspace
    secret: str

    def finish_build(self) -> ClaimedJob:
        return self.factory.finished_build(self.workspace)

    def send_all(self) -> None:
        sender = WebhookSender(self.database, retention=Retention(), allowed=LOOPBACK)
        while sender.turn():
            pass

    def make_due(self) -> None:
        with self.database.begin() as session:
            session.execute(text("UPDATE webhook_deliveries SET next_at = now()"))


@pytest.fixture
def scene(database: Database, factory: Factory, receiver: Receiver) -> Scene:
    workspace = factory.any_workspace()
    with database.begin() as session:
        made = create_webhook(session, url=receiver.url, created_by=workspace.owner_id)
    return Scene(
        database=database,
        factory=factory,
        receiver=receiver,
        workspace=workspace,
        secret=made.secret,
    )


def test_an_event_is_sent_with_a_signature_that_agrees(scene: Scene) -> None:
    scene.finish_build()
    scene.send_all()
    ((headers, body),) = scene.receiver.got
    sent = {name.lower(): value for name, value in headers.items()}
    signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.{body}".encode()
    key = base64.b64decode(scene.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert sent["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body)["data"]["status"] == "succeeded"


def test_events_of_a_workspace_are_sent_in_order_also_when_one_fails(scene: Scene) -> None:
    scene.receiver.status = 500
    first, second = (scene.finish_build() for _ in range(2))
    scene.send_all()
    assert len(scene.receiver.got) == 1
    scene.receiver.status = 200
    scene.make_due()
    scene.send_all()
    assert [json.loads(body)["data"]["job_id"] for _, body in scene.receiver.got] == [
        str(first.id),
        str(first.id),
        str(second.id),
    ]
    assert scene.receiver.got[0][0]["webhook-id"] == scene.receiver.got[1][0]["webhook-id"]


def test_a_delivery_that_always_fails_is_parked_and_can_be_replayed(scene: Scene) -> None:
    scene.receiver.status = 302  # redirects are not followed
    scene.finish_build()
    for _ in range(12):
        scene.send_all()
        scene.make_due()
    assert len(scene.receiver.got) == 10
    with scene.database.begin() as session:
        (listed,) = list_webhooks(session)
        assert (listed.parked, listed.last_error) == (1, "the answer was 302")
        assert replay_webhook(session, listed.id) == 1
    scene.receiver.status = 200
    scene.send_all()
    assert len(scene.receiver.got) == 11


def test_two_senders_send_each_event_once(scene: Scene) -> None:
    for _ in range(6):
        scene.factory.finished_build(scene.factory.any_workspace())
    threads = [threading.Thread(target=scene.send_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    scene.send_all()
    ids = [headers["webhook-id"] for headers, _ in scene.receiver.got]
    assert len(ids) == len(set(ids)) == 12


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "224.0.0.1", "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_reached(address: str) -> None:
    assert not is_allowed(address, ())


def test_a_public_address_and_one_that_is_allowed_are_reached() -> None:
    assert is_allowed("1.1.1.1", ())
    assert is_allowed("127.0.0.1", LOOPBACK)


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.1/", "http://u:p@example.com/", "ftp://x/", "http://["]
)
def test_a_url_that_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(TargetError):
        post(url, b"", {})


def test_only_who_administers_an_organization_has_webhooks(
    door: Door, owner: User, alice: User
) -> None:
    body = {"url": "https://example.com/", "organization_id": str(door.organization.id)}
    member, admin = door.client(alice), door.client(door.user("organization-admin"))
    assert member.send("POST", "webhooks", json=body).status_code == 404
    assert admin.send("POST", "webhooks", json={"url": body["url"]}).status_code == 404
    made = admin.send("POST", "webhooks", json=body)
    assert made.status_code == 201
    path = f"webhooks/{made.json()['id']}"
    (listed,) = admin.send("GET", "webhooks").json()
    assert "secret" not in listed
    assert member.send("GET", "webhooks").json() == []
    assert member.send("DELETE", path).status_code == 404
    assert admin.send("POST", f"{path}/test").status_code == 200
    assert admin.send("DELETE", path).status_code == 204


def test_old_deliveries_and_events_are_pruned(scene: Scene) -> None:
    scene.finish_build()
    scene.send_all()
    with scene.database.begin() as session:
        assert prune_deliveries(session, older_than=timedelta(days=1)) == 0
        assert prune_deliveries(session, older_than=timedelta(0)) >= 2
