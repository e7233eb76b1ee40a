"""The worker process: one engine behind a private pipe. Needs the standard library and the engine's own library.

Started by `harness/start.py`, so that it works in any interpreter. Requests and replies are JSON lines on two pipes of
their own; standard output and error are the variant's log, so a chatty library breaks nothing. It ends when the request
pipe closes, which is what happens when the driver dies.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import IO, Any

from harness.masking import masked
from harness.worker.serve import Server

BEAT_S = 2.0
"""Seconds between signs of life while an operation runs."""


class Replies:
    """The reply pipe; the heartbeat and the answers share it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(message) + "\n")
            self._stream.flush()

    def beat_forever(self) -> None:
        try:
            while True:
                time.sleep(BEAT_S)
                self.send({"beat": time.monotonic()})
        except (OSError, ValueError):
            return


def serve(requests: IO[str], replies: Replies, server: Server) -> None:
    """Answer one request after the other until the pipe closes."""
    for line in requests:
        message = json.loads(line)
        try:
            result = server.handle(message["op"], message["args"])
            replies.send({"id": message["id"], "result": result})
        except Exception as error:  # noqa: BLE001  # whatever it is, the driver has to hear of it
            sys.stderr.write(masked(traceback.format_exc()))
            replies.send({"id": message["id"], "error": server.describe(error)})
        if message["op"] == "close":
            return


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--replies", type=int, required=True)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(arguments.requests) as requests, os.fdopen(arguments.replies, "w") as stream:
        replies = Replies(stream)
        threading.Thread(target=replies.beat_forever, daemon=True).start()
        serve(requests, replies, Server())
    sys.stdout.flush()
    os._exit(0)
