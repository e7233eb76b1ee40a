"""A model server on loopback for trials and tests: serves the pages it is given, and misbehaves on request.

Owns the wire alone; what a page says is the caller's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server sends: JSON, or raw bytes, or events; and how it misbehaves."""

    body: Any = None
    status: int = 200
    raw: bytes | None = None
    events: list[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    """Break the connection after half of the body."""
    drip_s: float = 0.0
    """Pause after every byte."""

    def content(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.events is not None:
            return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in self.events)
        return json.dumps(self.body).encode()


ABSENT = Answer(body={"error": "Not Found"}, status=404)
Pages = Callable[[str, dict[str, Any]], Answer]
"""The answer to a path and the JSON that was posted to it; an empty object for a GET."""


class FakeServer:
    """A server on loopback. `faults` are answered first, one a request, on the page they name."""

    def __init__(self, pages: Pages) -> None:
        self.asked: list[tuple[str, dict[str, Any], Mapping[str, str]]] = []
        self.faults: list[tuple[str, Answer]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.respond({})

            def do_POST(self) -> None:
                self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def respond(self, body: dict[str, Any]) -> None:
                fake.asked.append((self.path, body, dict(self.headers)))
                fault = next((each for each in fake.faults if each[0] == self.path), None)
                if fault is not None:
                    fake.faults.remove(fault)
                self.send(pages(self.path, body) if fault is None else fault[1])

            def send(self, answer: Answer) -> None:
                time.sleep(answer.delay_s)
                content = answer.content()
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    if answer.drop:
                        content = content[: len(content) // 2]
                        self.close_connection = True
                    for place in range(0, len(content), 1 if answer.drip_s else len(content)):
                        self.wfile.write(content[place : place + (1 if answer.drip_s else len(content))])
                        time.sleep(answer.drip_s)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
