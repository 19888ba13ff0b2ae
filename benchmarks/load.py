"""Load on an HTTP server from one cheap client: as much as it takes, or at a fixed rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Load:
    """What was measured. rate: answers a second; latencies: seconds, one an answer; bodies: bytes of the answers."""

    rate: float
    latencies: np.ndarray[tuple[int], np.dtype[np.float64]]
    bodies: list[bytes]

    def percentile(self, share: float) -> float:
        """Latency below which so many percent of the answers came, seconds."""
        return float(np.percentile(self.latencies, share))


def post(path: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def saturate(port: int, requests: Sequence[bytes], connections: int = 8) -> Load:
    """All requests, each connection asking again as soon as it is answered."""
    waiting = iter(requests)
    latencies: list[float] = []
    bodies: list[bytes] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            sent = time.perf_counter()
            bodies.append(await _exchange(reader, writer, request))
            latencies.append(time.perf_counter() - sent)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return Load(len(requests) / (time.perf_counter() - started), np.array(latencies), bodies)


async def at_rate(port: int, requests: Sequence[bytes], rate: float, connections: int = 32) -> Load:
    """Requests that arrive at random moments, ``rate`` a second, whatever the server does (open loop).

    A latency counts from the moment a request was due, so a server that falls behind cannot hide it.
    """
    due = np.cumsum(np.random.default_rng(0).exponential(1 / rate, len(requests)))
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    started = time.perf_counter()
    latencies: list[float] = []
    bodies: list[bytes] = []

    async def ask(request: bytes, moment: float) -> None:
        reader, writer = await idle.get()
        bodies.append(await _exchange(reader, writer, request))
        latencies.append(time.perf_counter() - started - moment)
        idle.put_nowait((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        for request, moment in zip(requests, due.tolist(), strict=True):
            await asyncio.sleep(max(0.0, started + moment - time.perf_counter()))
            tasks.create_task(ask(request, moment))
    took = time.perf_counter() - started
    while not idle.empty():
        idle.get_nowait()[1].close()
    return Load(len(requests) / took, np.array(latencies), bodies)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)
