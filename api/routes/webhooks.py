"""Webhooks of organizations, and of the whole site."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from pydantic import Field

from api.answers import Message
from api.caller import Right
from api.errors import hidden, refused
from api.gate import GateOf, Visit
from api.models.fields import Many, RequestModel, Text
from db.catalog.audit import SITE, AuditAction, audit
from db.catalog.webhooks import (
    WebhookListing,
    create_webhook,
    delete_webhook,
    list_webhooks,
    replay_webhook,
    send_test,
)
from db.errors import InvalidError
from db.jobs.events import EventType
from db.reads.contract import UtcTime
from db.reads.contractbase import ContractModel
from db.schema.enums import TokenScope

router = APIRouter(prefix="/api/v2/webhooks", tags=["webhooks"])


class CreateWebhook(RequestModel):
    """An address that events are sent to."""

    url: Text
    organization_id: uuid.UUID | None = Field(
        None, description="events of this organization; absent: of all, for owners"
    )
    types: Many[EventType] = Field([], max_length=20, description="empty: all")


class Webhook(ContractModel):
    """A webhook, and how it fares."""

    id: uuid.UUID
    url: str
    organization_id: uuid.UUID | None = None
    types: list[str]
    created_at: UtcTime
    waiting: int = Field(description="deliveries that are due or will be tried again")
    parked: int = Field(description="deliveries that were given up; replay sends them again")
    last_delivered_at: UtcTime | None = None
    last_error: str


class NewWebhook(ContractModel):
    """A webhook that was just made, with its secret, which is shown only once."""

    id: uuid.UUID
    secret: str


class Replayed(ContractModel):
    """What is sent again."""

    message: str
    count: int = Field(description="number of deliveries")


@router.get("")
def show_webhooks(gate: GateOf) -> list[Webhook]:
    """List the webhooks that the caller may administer."""
    with gate.enter() as visit:
        return [_shown(found) for found in _visible(visit)]


@router.post("", status_code=201)
def add_webhook(gate: GateOf, body: CreateWebhook) -> NewWebhook:
    """Create a webhook. Its requests are signed by the scheme of Standard Webhooks."""
    with gate.enter(TokenScope.ADMIN) as visit:
        caller, home = visit.caller, body.organization_id
        may = caller.may(Right.ADMINISTER, home) if home else caller.is_owner
        if not may:
            raise hidden()
        try:
            made = create_webhook(
                visit.session,
                url=body.url,
                created_by=caller.user_id,
                organization_id=home,
                types=body.types,
            )
        except InvalidError as error:
            raise refused("Validation failed.", str(error), field="url") from error
        _audit(visit, made.id, body.url, home, AuditAction.CREATE)
        return NewWebhook(id=made.id, secret=made.secret)


@router.delete("/{webhook}", status_code=204)
def remove_webhook(gate: GateOf, webhook: uuid.UUID) -> None:
    """Delete a webhook with its deliveries."""
    with gate.enter(TokenScope.ADMIN) as visit:
        found = _one(visit, webhook)
        delete_webhook(visit.session, found.id)
        _audit(visit, found.id, found.url, found.organization_id, AuditAction.DELETE)


@router.post("/{webhook}/test")
def try_webhook(gate: GateOf, webhook: uuid.UUID) -> Message:
    """Send an event of the type `webhook.test`."""
    with gate.enter(TokenScope.ADMIN) as visit:
        send_test(visit.session, _one(visit, webhook).id)
        return Message(message="A test event will be sent.")


@router.post("/{webhook}/replay")
def replay(gate: GateOf, webhook: uuid.UUID) -> Replayed:
    """Send the deliveries that were given up again."""
    with gate.enter(TokenScope.ADMIN) as visit:
        count = replay_webhook(visit.session, _one(visit, webhook).id)
        return Replayed(message=f"{count} deliveries will be sent again.", count=count)


def _visible(visit: Visit) -> list[WebhookListing]:
    administered = visit.caller.organizations_with(Right.ADMINISTER)
    return [] if administered == [] else list_webhooks(visit.session, organizations=administered)


def _one(visit: Visit, webhook_id: uuid.UUID) -> WebhookListing:
    for found in _visible(visit):
        if found.id == webhook_id:
            return found
    raise hidden()


def _audit(
    visit: Visit,
    webhook_id: uuid.UUID,
    url: str,
    organization_id: uuid.UUID | None,
    action: AuditAction,
) -> None:
    audit(
        visit.session,
        actor=visit.actor,
        action=action,
        organization_id=organization_id or SITE,
        resource=("webhook", webhook_id, url),
    )


def _shown(found: WebhookListing) -> Webhook:
    return Webhook.model_validate(found, from_attributes=True)
