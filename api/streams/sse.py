"""Server-sent events: how a stream of them is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse

COMMENT_S = 15.0  #: without events, how often a comment keeps proxies from closing the stream
COMMENT = ": still here\n\n"


def stream_events(
    events: AsyncIterator[str], *, release: Callable[[], object]
) -> StreamingResponse:
    """Return the response that sends the events. The arguments are those of ``stream``."""
    return stream(events, media="text/event-stream", release=release)


def stream(
    parts: AsyncIterator[str], *, media: str, release: Callable[[], object]
) -> StreamingResponse:
    """Return the response that sends the parts as they come, past the buffers of proxies.

    Args:
        media: the type of the whole.
        release: called at the end of the stream.
    """

    async def released() -> AsyncIterator[str]:
        try:
            async for part in parts:
                yield part
        finally:
            release()

    return StreamingResponse(
        released(),
        media_type=media,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
