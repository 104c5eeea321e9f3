"""The ASGI application: middlewares, routes and the stream hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Route

from api.answers import JsonAnswer
from api.errors import add_handlers
from api.forhttp import ForHttp
from api.headers import CommonHeaders, OneAddress
from api.limits import bound_body
from api.mcp.door import PATH, McpDoor
from api.metrics import ApiMetrics, Measuring
from api.openapi import document_of, operation_id
from api.pages import administration, catalog, forecast, session, work
from api.patience import end_idle
from api.routes import (
    agents,
    builds,
    circuits,
    deployment,
    dryruns,
    events,
    files,
    groups,
    jobs,
    manyjobs,
    operating,
    operations,
    pushes,
    reads,
    sessions,
    templates,
    users,
    versions,
    watching,
    webhooks,
    workspaces,
    workspacesettings,
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
    pushes.router,
    workspaces.router,
    workspacesettings.router,
    watching.router,
    builds.router,
    jobs.router,
    operations.router,
    operating.router,
    circuits.router,
    manyjobs.router,
    groups.router,
    reads.router,
    events.router,
    webhooks.router,
    agents.router,
    session.router,
    work.router,
    catalog.router,
    forecast.router,
    administration.router,
)


def make_app(site: Site, metrics: ApiMetrics | None = None) -> FastAPI:
    """Return the application. It listens for notices while it runs.

    Args:
        metrics: counts the requests.
    """

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        site.hub.start()
        try:
            async with door.open():
                yield
        finally:
            site.hub.close()
            await site.hub.join()

    door = McpDoor(site)
    app = FastAPI(
        title="provisionerd",
        version="2",
        summary="Workspace builds, by an API that follows Coder's",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=_routes(),
        lifespan=running,
        separate_input_output_schemas=False,
    )
    app.state.site = site
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    app.router.routes.append(Route(PATH, door, include_in_schema=False))
    add_handlers(app)
    # The last one that is added is the first that a request meets.
    app.add_middleware(ForHttp, handle=bound_body)
    app.add_middleware(ForHttp, handle=end_idle)
    app.add_middleware(CommonHeaders)
    if metrics is not None:
        app.add_middleware(ForHttp, handle=Measuring(metrics).handle)
    app.add_middleware(OneAddress)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of all routers, which FastAPI completes at the first request.

    Applications share them, because that takes a tenth of a second, and a process of tests makes
    hundreds of applications.
    """
    together = APIRouter(
        default_response_class=JsonAnswer, generate_unique_id_function=operation_id
    )
    for router in ROUTERS:
        together.include_router(router)
    return together.routes
