"""Secrets kept out of everything that is said or stored: keys of servers, passwords in addresses.

Code that reads a secret registers it here (`keep`), and every output goes through `masked`: what a server's answer is
read as, the worker's errors, what is printed. Addresses lose their passwords by their form alone (`redact`). Imports
nothing of ours and needs the standard library only."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
SHORTEST = 4
"""Characters from which a secret is looked for anywhere; a shorter one would be found in every word."""
PIECE = 8
"""So many characters of a longer secret in a row are masked too: a text may have been cut or wrapped."""
LONG = 2 * PIECE

_kept: set[str] = set()
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#'\"<>]*@")
_WHOLE_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:(\S*)@)?([^\s?#@]*)(?:(\?)\S*)?", re.ASCII)
_PARAMETER = re.compile(
    r"([?&](?:[\w.-]*(?:key|token|secret|password|passwd|pwd|auth|credential|signature|sig|code))=)[^\s&#'\"<>]+",
    re.IGNORECASE,
)


def keep(secret: str) -> None:
    """Mask this from now on, in every form it may be repeated in."""
    if len(secret) >= SHORTEST:
        _kept.add(secret)


def keep_address(url: str) -> None:
    """Mask the password in an address, and the parameters behind it."""
    for secret in secrets_in(url):
        keep(secret)


def secrets_in(url: str) -> Iterator[str]:
    """The confidential parts of an address."""
    found = _WHOLE_ADDRESS.fullmatch(url.strip())
    if found is None:
        return
    if found[2] is not None:
        user, _, password = found[2].partition(":")
        yield from dict.fromkeys((found[2], unquote(found[2]), password or user, unquote(password or user)))
    query = url.partition("?")[2].partition("#")[0]
    for part in filter(None, query.split("&")):
        value = part.partition("=")[2] or part
        yield from dict.fromkeys((value, unquote(value)))


def without_secrets(url: str) -> str:
    """An address that says where, not who asks: without user, password and parameters."""
    parts = urlsplit(url) if _parses(url) else None
    if parts is None or not parts.netloc:
        return redact(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _parses(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def redact(text: str) -> str:
    """Any text with the passwords in its addresses masked. Redacting again changes nothing."""
    if "://" not in text:
        return text
    whole = _WHOLE_ADDRESS.fullmatch(text.strip())
    if whole is not None:
        user = f"{MASK}@" if whole[2] is not None else ""
        return f"{whole[1]}{user}{whole[3]}{f'?{MASK}' if whole[4] else ''}"
    return _PARAMETER.sub(rf"\1{MASK}", _ADDRESS.sub(rf"\1{MASK}@", text))


def masked(text: str) -> str:
    """The text without registered secrets and without passwords in addresses."""
    for secret in sorted(_kept, key=len, reverse=True):
        text = without(text, secret)
    return redact_within(text)


def redact_within(text: str) -> str:
    """`redact` for a text that may hold several lines."""
    return text if "://" not in text else _PARAMETER.sub(rf"\1{MASK}", _ADDRESS.sub(rf"\1{MASK}@", text))


def without(text: str, secret: str) -> str:
    """A text without one secret: as it is, quoted for an address, for JSON, HTML or Python, in hexadecimal or base64;
    of a long one every longer piece."""
    forms = _forms(secret)
    text = forms.whole.sub(MASK, text)
    return text if not forms.pieces else _without_pieces(text, forms.pieces)


class _Forms:
    def __init__(self, secret: str) -> None:
        raw = secret.encode("utf-8", "surrogatepass")
        quoted = (quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace"))
        written = [secret, *quoted, *(each.lower() for each in quoted), json.dumps(secret)[1:-1]]
        written += [json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1].replace("/", "\\/")]
        written += [repr(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False)]
        written += ["".join(f"\\u{ord(each):04x}" for each in secret), "".join(f"%{each:02x}" for each in raw)]
        encoded = [raw.hex(), *_base64(raw)]
        distinct = sorted({each for each in (*written, *encoded) if each}, key=len, reverse=True)
        flags = re.IGNORECASE if len(secret) >= PIECE else 0
        self.whole = re.compile("|".join(map(re.escape, distinct)), flags)
        long = [each for each in (secret, *encoded) if len(secret) >= LONG and len(each) >= LONG]
        self.pieces = frozenset(
            each[place : place + PIECE] for each in long for place in range(len(each) - PIECE + 1)
        )  # fmt: skip


@lru_cache(maxsize=256)
def _forms(secret: str) -> _Forms:
    return _Forms(secret)


def _base64(raw: bytes) -> Iterator[str]:
    """The characters of every base64 text that `raw` stands in, wherever it begins, which it alone decides."""
    for before in range(3):
        padded = b"\0" * before + raw
        usable = len(padded) // 3 * 3
        first = (before * 8 + 5) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(padded[:usable]).decode()[first:]
            if len(text) >= SHORTEST:
                yield text


def _without_pieces(text: str, pieces: frozenset[str]) -> str:
    marked = [False] * len(text)
    for place in range(len(text) - PIECE + 1):
        if text[place : place + PIECE] in pieces:
            marked[place : place + PIECE] = [True] * PIECE
    if not any(marked):
        return text
    found, hidden = [], False
    for each, inside in zip(text, marked, strict=True):
        if inside and not hidden:
            found.append(MASK)
        elif not inside:
            found.append(each)
        hidden = inside
    return "".join(found)
