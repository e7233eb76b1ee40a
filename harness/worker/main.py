"""The worker process: one engine behind a private pipe. Needs the standard library and the engine's own library.

Started as a script so that it works in any interpreter. Requests and replies are JSON lines on two pipes of their
own; standard output and error are the variant's log, so a chatty library breaks nothing. It ends when the request
pipe closes, which is what happens when the driver dies.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.worker.serve import Server

BEAT_S = 2.0
"""Seconds between signs of life while an operation runs."""


def register_package() -> None:
    """Make `harness` importable from where this file lies, without its neighbours in site-packages."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "harness", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)


def die_with_the_driver() -> None:
    """On Linux the kernel ends this process when its parent dies, even in mid-computation."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


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
    from harness.masking import masked

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--replies", type=int, required=True)
    arguments = parser.parse_args()
    die_with_the_driver()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    register_package()
    from harness.worker.serve import Server

    with os.fdopen(arguments.requests) as requests, os.fdopen(arguments.replies, "w") as stream:
        replies = Replies(stream)
        threading.Thread(target=replies.beat_forever, daemon=True).start()
        serve(requests, replies, Server())
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
