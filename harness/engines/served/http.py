"""HTTP to a model server: retries, time limits, and answers that are checked while they are read.

Owns the one place where foreign exceptions become `EngineError`. Every message names the address, what was expected,
what came (cut, without control characters, without the key) and what to do. It never guesses a missing value.
"""

from __future__ import annotations

import json
import math
import re
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from harness.errors import EngineError
from harness.masking import keep, keep_address, masked, redact, without

if TYPE_CHECKING:
    import httpx2
    from tenacity import Retrying

SHOWN = 200
LOOKED_AT = 20_000
"""Characters of an answer that a message shows."""
LARGEST_ANSWER = 256 * 2**20
"""Bytes after which an answer is no answer any more. The largest honest one lists a whole vocabulary."""
LONGEST_WAIT_S = 60.0
"""Upper bound of a wait between two attempts, whatever Retry-After asks for."""
CONNECT_S = 10.0
FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 20.0
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses worth another attempt."""
ABSENT = frozenset({404, 405, 501})


class ServerRefusedError(EngineError):
    """The server said no (HTTP 4xx, or what the caller takes for it): another attempt would get the same answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _AgainError(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class _NotJsonError(_AgainError):
    """An answer that is not JSON."""


def libraries() -> tuple[ModuleType, ModuleType]:
    """httpx2 and tenacity, or an `EngineError` that says how to get them."""
    try:
        import httpx2
        import tenacity
    except ImportError as error:
        raise EngineError(f"a served model needs {error.name}: pip install 'quantgate[served]'") from error
    return httpx2, tenacity


def shown(text: str) -> str:
    """A foreign text as a message may show it: without secrets, one line, no control characters, cut."""
    text = masked(text[:LOOKED_AT])
    line = re.sub(r"\s+", " ", "".join(each if each.isprintable() or each.isspace() else "?" for each in text)).strip()
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


class Reply:
    """A value of a JSON answer that knows where it stands; reading it wrongly is an `EngineError`."""

    def __init__(self, value: object, url: str, place: str = "answer") -> None:
        self.value, self._url, self._place = value, url, place

    def __getitem__(self, key: str | int) -> Reply:
        found = self.get(key)
        if found is None:
            raise self.wrong(f"{key!r} in it")
        return found

    def get(self, key: str | int) -> Reply | None:
        """The entry, or None where it is missing or null."""
        value: object = None
        if isinstance(key, str) and isinstance(self.value, dict):
            value = self.value.get(key)
        elif isinstance(key, int) and isinstance(self.value, list) and -len(self.value) <= key < len(self.value):
            value = self.value[key]
        step = f".{key}" if isinstance(key, str) else f"[{key}]"
        return None if value is None else Reply(value, self._url, self._place + step)

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return masked(self.value)

    def integer(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong("an integer")
        return self.value

    def integers(self) -> tuple[int, ...]:
        return tuple(each.integer() for each in self.items())

    def log_prob(self) -> float:
        """A natural-log probability. Servers that cannot write -inf as JSON send -9999 or the lowest float."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a log-probability")
        if self.value > 1e-3:
            raise self.wrong("a log-probability (0 or less)")
        return -math.inf if self.value <= -9999 else float(self.value)

    def items(self) -> list[Reply]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Reply(each, self._url, f"{self._place}[{place}]") for place, each in enumerate(self.value)]

    def fields(self) -> dict[str, Reply]:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return {str(key): Reply(each, self._url, f"{self._place}.{key}") for key, each in self.value.items()}

    def optional_text(self, key: str) -> str | None:
        """The entry where it is a text that is not empty."""
        found = self.get(key)
        return masked(found.value) if found is not None and isinstance(found.value, str) and found.value else None

    def optional_integer(self, key: str) -> int | None:
        found = self.get(key)
        value = None if found is None else found.value
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def wrong(self, expected: str, advice: str = "check that this is the kind of server the suite says") -> EngineError:
        """The error for a value that is not what it has to be."""
        came = shown(json.dumps(self.value, ensure_ascii=False, default=str))
        return EngineError(f"{self._url}: {shown(self._place)}: expected {expected}, got {came}; {advice}")


def _address(parts: SplitResult) -> str:
    """Scheme, host, port and path."""
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rpartition('@')[2]}")


class Http:
    """One server. Safe to use from several threads."""

    def __init__(self, url: str, *, key: str | None, timeout_s: float, retries: int) -> None:
        self._httpx2, self._tenacity = libraries()
        keep_address(url)
        if key is not None:
            keep(key)
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018  # asked for here, it is known to be a number
        except ValueError as error:
            raise EngineError(f"{redact(url)}: expected an address such as http://localhost:8000/v1") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EngineError(f"{_address(parts)}: expected an address such as http://localhost:8000/v1")
        if parts.query or parts.fragment:
            says = "expected an address such as http://localhost:8000/v1, with nothing behind `?` or `#`"
            raise EngineError(f"{_address(parts)}: {says}; a key belongs in a variable (api_key_env)")
        self.root = _address(parts).rstrip("/").removesuffix("/v1").rstrip("/")
        """The address without /v1 and without a user name and password, which go into a header."""
        self._key, self._timeout_s, self._retries = key, timeout_s, retries
        self._client: httpx2.Client = self._httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=(unquote(parts.username), unquote(parts.password or "")) if parts.username else None,
            timeout=self._httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            limits=self._httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            # A proxy set for the outside world must not be asked for this machine's own server.
            trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> Reply:
        return self._retried("GET", path, None)

    def find(self, path: str) -> Reply | None:
        """GET of a page that only some servers have; None where it is missing or a person's page."""
        try:
            return self._once("GET", path, None)
        except ServerRefusedError as error:
            if error.status in ABSENT:
                return None
            raise
        except _NotJsonError:
            return None
        except _AgainError:
            return self._retried("GET", path, None)

    def post(self, path: str, body: Mapping[str, object], *, final: frozenset[int] = frozenset()) -> Reply:
        """POST JSON; retried from the start when the server is busy, the time is up or the line breaks.

        A status in `final` is a refusal here (`ServerRefusedError`), not a reason to try again.
        """
        return self._retried("POST", path, body, final)

    def events(self, path: str, body: Mapping[str, object]) -> Iterator[tuple[float, Reply]]:
        """Server-sent events with the second (`perf_counter`) each arrived. Not retried: the clock runs."""
        where = self.root + path
        try:
            with (
                self._translated("POST", where),
                self._client.stream("POST", where, json=dict(body)) as response,
            ):
                self._check(response, "POST", where, self._read(response, where) if response.status_code != 200 else "")
                for line in response.iter_lines():
                    arrived = clock.perf_counter()
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        break
                    event = self._parsed(data, where)
                    if event.get("error") is not None:
                        raise EngineError(f"{where}: expected tokens, the stream said {self._safe(data)}")
                    yield arrived, event
        except _AgainError as error:
            raise EngineError(f"{error}; a timed stream is not repeated, run the timing again") from error

    # -- one attempt and its repetition

    def _retried(
        self, method: str, path: str, body: Mapping[str, object] | None, final: frozenset[int] = frozenset()
    ) -> Reply:
        tenacity = self._tenacity
        retrying: Retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._retries + 1),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_AgainError),
            reraise=True,
        )
        try:
            answer: Reply = retrying(self._once, method, path, body, final)
        except _AgainError as error:
            attempts = f"{self._retries + 1} attempt{'s' if self._retries else ''}"
            raise EngineError(f"{error} ({attempts})") from error
        return answer

    def _once(
        self, method: str, path: str, body: Mapping[str, object] | None, final: frozenset[int] = frozenset()
    ) -> Reply:
        where = self.root + path
        with (
            self._translated(method, where),
            self._client.stream(method, where, json=None if body is None else dict(body)) as response,
        ):
            text = self._read(response, where)
            self._check(response, method, where, text, final)
        return self._parsed(text, where)

    def _read(self, response: httpx2.Response, where: str) -> str:
        """The whole body, within the time and size limits: a server may send a byte now and then for ever."""
        deadline = clock.monotonic() + self._timeout_s
        found = bytearray()
        for part in response.iter_bytes():
            found += part
            if len(found) > LARGEST_ANSWER:
                raise EngineError(f"{where}: expected an answer under {LARGEST_ANSWER} bytes, got more")
            if clock.monotonic() > deadline:
                raise _AgainError(self._late(where))
        return found.decode("utf-8", errors="replace")

    def _parsed(self, text: str, where: str) -> Reply:
        try:
            return Reply(json.loads(text), where)
        except (ValueError, RecursionError) as error:
            message = f"{where}: expected JSON, got {self._safe(text)!r}; check that a model server answers there"
            raise _NotJsonError(message) from error

    def _check(
        self, response: httpx2.Response, method: str, where: str, text: str, final: frozenset[int] = frozenset()
    ) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        came = f"{method} {where}: expected HTTP 200, got {status} {self._safe(text)!r}"
        if status in BUSY - final:
            advice = "the server limits requests, lower concurrency" if status == 429 else "see the server's own log"
            raise _AgainError(f"{came}; {advice}", _retry_after(response.headers.get("Retry-After")))
        if 300 <= status < 400:
            target = shown(response.headers.get("Location", "nowhere"))
            raise EngineError(f"{came}; it points to {target}: write that address in the suite")
        advice = {
            401: "the key is missing or wrong: name its environment variable in endpoint.api_key_env",
            403: "the key may not use this model: check endpoint.api_key_env",
            404: "check the address, the model's name and that the server offers this page",
        }.get(status, "the server does not take this request; see its own log")
        raise ServerRefusedError(f"{came}; {advice}", status)

    def _late(self, where: str) -> str:
        advice = "raise endpoint.timeout_s or lower concurrency"
        return f"{where}: expected an answer within {self._timeout_s:g} s, none came in that time; {advice}"

    def _safe(self, text: str) -> str:
        """A foreign text without the key: some servers repeat it in their refusals. Short ones are only masked here."""
        return shown(without(text, self._key) if self._key else text)

    @contextmanager
    def _translated(self, method: str, where: str) -> Iterator[None]:
        """Foreign exceptions as ours."""
        httpx2 = self._httpx2
        try:
            yield
        except httpx2.ConnectTimeout as error:
            message = f"{method} {where}: expected a server there, none took the connection in {CONNECT_S:g} s"
            raise _AgainError(f"{message}; is the address right?") from error
        except httpx2.TimeoutException as error:
            raise _AgainError(self._late(where)) from error
        except httpx2.ConnectError as error:
            message = f"{method} {where}: expected a server there, got {self._safe(str(error))!r}; is it running?"
            raise _AgainError(message) from error
        except (httpx2.TransportError, httpx2.StreamError) as error:
            came = self._safe(f"{type(error).__name__}: {error}")
            message = f"{method} {where}: expected a whole answer, the connection broke ({came}); see the server's log"
            raise _AgainError(message) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise EngineError(f"{method} {where}: {self._safe(f'{type(error).__name__}: {error}')}") from error


def _retry_after(value: str | None) -> float | None:
    """Seconds that the server asks to wait: a number or a date."""
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _wait(state: Any) -> float:
    """What Retry-After asks for, otherwise doubling from half a second; both bounded."""
    error = state.outcome.exception()
    if isinstance(error, _AgainError) and error.after is not None:
        return min(max(error.after, 0.0), LONGEST_WAIT_S)
    return float(min(FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1), LONGEST_BACKOFF_S))
