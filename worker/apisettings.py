"""The settings of the HTTP API."""

from __future__ import annotations

from ipaddress import ip_network

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.broker.secretfile import PREFIX
from worker.textlists import TextList


class ApiSettings(BaseSettings):
    """Where the API is served, what its clients may do, and whom its webhooks may reach."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    api_address: str = Field(
        "127.0.0.1:7080",
        description="HOST:PORT of the HTTP API; empty keeps `provisionerd up` from serving it",
    )
    api_metrics_address: str = Field(
        "127.0.0.1:2114", description="HOST:PORT of /metrics of the HTTP API; empty turns it off"
    )
    trusted_proxies: TextList = Field(
        (),
        description="networks of proxies that identify users by X-Forwarded-User, comma-separated",
    )
    api_requests_per_minute: int = Field(
        1200, ge=0, description="requests that one token may make in a minute; 0 means any number"
    )
    webhook_networks: TextList = Field(
        (),
        description="networks that webhooks may reach although they are not public,"
        " comma-separated",
    )
    api_streams_per_token: int = Field(
        100, ge=1, description="logs and events that one token may follow at the same time"
    )

    @field_validator("trusted_proxies", "webhook_networks", mode="after")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value
