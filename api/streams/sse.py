"""Server-sent events: how a stream of them is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse

COMMENT_S = 15.0  #: without events, how often a comment keeps proxies from closing the stream
COMMENT = ": still here\n\n"


def stream_events(
    events: AsyncIterator[str], *, release: Callable[[], object]
) -> StreamingResponse:
    """Return the response that sends the events.

    Args:
        release: called at the end of the stream.
    """

    async def released() -> AsyncIterator[str]:
        try:
            async for event in events:
                yield event
        finally:
            release()

    return StreamingResponse(
        released(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
