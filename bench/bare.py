"""A bare FastAPI application, to compare the memory of the HTTP API with."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.get("/readyz")
def ready() -> str:
    """Answer."""
    return "ready"
