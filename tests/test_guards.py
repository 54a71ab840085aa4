"""Connections that say too little, too slowly."""

import asyncio

import pytest
import uvicorn

from duomotion.serving import guards

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def answer(scope, receive, send):
    await asyncio.sleep(1.0)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def heard(*pieces, pause):
    """What a server says to a client that sends pieces with a pause before each, and then waits."""
    config = uvicorn.Config(
        answer,
        port=0,
        lifespan="off",
        log_config=None,
        http=guards.TimedHeads,
        timeout_keep_alive=9,
    )
    server = uvicorn.Server(config)
    served = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        place = server.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*place)
        for piece in pieces:
            await asyncio.sleep(pause)
            writer.write(piece)
        said = await asyncio.wait_for(reader.read(), 8)
        writer.close()
        return said
    finally:
        server.should_exit = True
        await served


@pytest.mark.parametrize(
    ("pieces", "pause", "answers"),
    [
        ((), 0.0, 0),  # says nothing
        ((HEAD,), 0.0, 0),  # and no more
        ((HEAD[:9], HEAD[9:], b"A: ", b"b"), 0.1, 0),
        ((HEAD + b"\r\n",), 0.1, 1),  # the answer takes longer than a head may
        ((HEAD + b"\r\n" + HEAD + b"\r\n" + HEAD,), 0.0, 2),
    ],
)
def test_heads_have_to_arrive_in_time(monkeypatch, pieces, pause, answers):
    monkeypatch.setattr(guards, "HEAD_SECONDS", 0.6)
    assert asyncio.run(heard(*pieces, pause=pause)).count(b"HTTP/1.1 204") == answers
