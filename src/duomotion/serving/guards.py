"""What stands before the service: what is too large or too slow, and a count of answers."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0  # for which a connection waits for the whole head of a request
BODY_SECONDS = 60.0  # in which a body has to arrive
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")  # that are counted by name

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class TimedHeads(H11Protocol):
    """Closes connections on which no whole head of a request arrives in time.

    uvicorn itself waits for the first one without end, and `CONNECTIONS` that wait are all that it
    takes.
    """

    _since: float  # when the last answer was given, or the connection made
    _look: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look = self.loop.call_at(self._since + HEAD_SECONDS, self._check)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        now = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self._since = now  # a request is being answered
        if now - self._since >= HEAD_SECONDS:
            self.transport.close()
        else:
            self._look = self.loop.call_at(self._since + HEAD_SECONDS, self._check)


class BodyLimits:
    """Answers 413 to bodies that are too large, and 408 to those that take too long."""

    def __init__(
        self,
        app: App,
        *,
        json: int,
        upload: int,
        uploads: tuple[str, ...],
        seconds: float = BODY_SECONDS,
    ) -> None:
        """Wrap `app`.

        Args:
            json: bytes of a body.
            upload: the same for the paths in `uploads`.
            uploads: paths that take files.
            seconds: from a request's head to the end of its body.
        """
        self._app, self._json, self._upload = app, json, upload
        self._uploads, self._seconds = uploads, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._upload if scope["path"] in self._uploads else self._json
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > limit:
            answer = JSONResponse({"detail": _too_large(limit)}, 413)
            await answer(scope, receive, send)
            return
        await self._app(scope, _Bounded(receive, limit, self._seconds), send)


class _Bounded:
    """Receives a body within its limits; what comes after it, as it comes."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit = receive, limit
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._bytes = 0
        self._is_complete = False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request's body took too long") from None
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise HTTPException(413, _too_large(self._limit))
        self._is_complete = not message.get("more_body", False)
        return message


def _too_large(limit: int) -> str:
    return f"the request's body is too large; at most {limit:,} bytes are taken"


class CountRequests:
    """Counts answers by method, path of the operation, and status."""

    def __init__(self, app: App, *, counter: Counter) -> None:
        self._app, self._counter = app, counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                # Paths and methods as clients write them would be any number of series.
                path = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._counter.labels(method, path, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counting)
