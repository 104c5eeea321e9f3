"""The ASGI application: middlewares, routes and the stream hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.answers import JsonAnswer, Message
from api.errors import add_handlers
from api.headers import CommonHeaders, OnePath
from api.limits import BodyLimit
from api.routes import (
    builds,
    deployment,
    dryruns,
    files,
    jobs,
    operations,
    sessions,
    templates,
    users,
    versions,
    workspaces,
)
from api.site import Site

ROUTERS = (
    deployment.router,
    sessions.router,
    users.router,
    files.router,
    versions.router,
    dryruns.router,
    templates.router,
    workspaces.router,
    builds.router,
    jobs.router,
    operations.router,
)
ERRORS = {
    400: {"model": Message, "description": "a value is not allowed"},
    401: {"model": Message, "description": "there is no valid token"},
    403: {"model": Message, "description": "the caller may not do this"},
    404: {"model": Message, "description": "there is no such thing, or the caller may not see it"},
    409: {"model": Message, "description": "the stored data does not allow it now"},
    413: {"model": Message, "description": "the body is too large"},
    429: {"model": Message, "description": "too many requests"},
    503: {"model": Message, "description": "the database cannot be reached"},
}


def make_app(site: Site) -> FastAPI:
    """Return the application. It listens for notices while it runs."""

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        site.hub.start()
        try:
            yield
        finally:
            site.hub.close()

    app = FastAPI(
        title="provisionerd",
        version="2",
        summary="Workspace builds, in the form of Coder's API.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=JsonAnswer,
        lifespan=running,
        responses=ERRORS,  # type: ignore[arg-type]
    )
    app.state.site = site
    for router in ROUTERS:
        app.include_router(router)
    add_handlers(app)
    # The last one that is added is the first that a request meets.
    app.add_middleware(BodyLimit)
    app.add_middleware(CommonHeaders)
    app.add_middleware(OnePath)
    return app
