"""A suite's text in the form that is stored: without the passwords in its URLs.

The text is what a run keeps and reads again, so what is left has to be a suite that says the same of everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from harness.masking import keep_address, redact, redact_within, secrets_in


def without_passwords(text: str, plain: Any, *, read: Callable[[str], Any]) -> tuple[str, Any]:
    """The text and its values without passwords, which are masked in whatever is said from now on.

    `read`: a text's values. Comments and layout are kept, unless a password is written in a way (escaped, folded over
    lines) that only parsing undoes; then the suite's values are written out again.
    """
    secrets = set()
    for value in _texts(plain):
        keep_address(value)
        secrets |= set(secrets_in(value))
    shown = redact_within(text)
    kept = _redacted(plain)
    if shown == text and kept == plain:
        return text, plain
    for secret in sorted(secrets, key=len, reverse=True):
        for before in ("//", "?", "="):
            shown = shown.replace(before + secret, f"{before}***")
    if read(shown) != kept:
        shown = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    return shown, kept


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict):
        for value in plain.values():
            yield from _texts(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _texts(value)
    elif isinstance(plain, str) and "://" in plain:
        yield plain


def _redacted(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {name: _redacted(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [_redacted(value) for value in plain]
    return redact(plain) if isinstance(plain, str) else plain
