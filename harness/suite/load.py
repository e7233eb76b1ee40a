"""Loads a suite file into a checked `Suite`. Reports all problems at once, each with file, line, column and key."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError

from harness.errors import Problem, SuiteError
from harness.forms import FORMS, Form
from harness.forms.share import MAX_RELATIVE_DROP
from harness.notation import Notation
from harness.suite.crosscheck import cross_check
from harness.suite.input_limits import UnboundedError, check_bounds, unreadable
from harness.suite.models import Suite
from harness.suite.names import keys_at, nearest
from harness.suite.passwords import without_passwords
from harness.suite.quantize_block import MODELS

MOST_BYTES = 5_000_000
MOST_BITS = 64
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
Path_ = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class LoadedSuite:
    """A suite and where it was loaded from."""

    suite: Suite
    path: Path
    """Absolute."""
    shown: str
    """As the user typed it, for messages."""
    text: str
    """As written, but without passwords in URLs, because it is stored."""
    hash: str
    """SHA-256 of the content, comments, layout and passwords aside."""

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the suite refer to."""
        return self.path.parent


def load_suite(path: Path) -> LoadedSuite:
    """Read and check a suite file. Raises `SuiteError` with every problem found."""
    return parse_suite(read_suite_text(path), path)


def read_suite_text(path: Path) -> str:
    """A suite file's text, unchecked. Raises `SuiteError` for anything but a text file."""
    shown = str(path)
    try:
        if (kind := unreadable(path)) is not None:
            raise SuiteError((Problem(place=shown, key="", message=f"expected a file, got {kind}"),))
        if path.stat().st_size > MOST_BYTES:
            raise SuiteError((Problem(place=shown, key="", message="a suite of over 5 MB is no suite"),))
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SuiteError(
            (Problem(place=shown, key="", message="no such suite file; `quantgate init MODEL` writes one"),)
        ) from None
    except UnicodeDecodeError as error:
        message = f"expected UTF-8 text: {error.reason} at byte {error.start}"
        raise SuiteError((Problem(place=shown, key="", message=message),)) from None
    except OSError as error:
        message = f"could not be read: {error.strerror or error}"
        raise SuiteError((Problem(place=shown, key="", message=message),)) from error


def parse_suite(text: str, path: Path) -> LoadedSuite:
    """Check a suite's text; `path` is where it is (or was) stored, for messages and relative paths."""
    shown = str(path)
    tree = _yaml(text, shown)
    try:
        plain = _plain(tree)
    except _UnfitError as error:
        raise SuiteError(
            (Problem(place=_place(tree, error.where, shown), key=dotted(error.where), message=str(error)),)
        ) from error
    try:
        suite = Suite.model_validate(plain)
    except ValidationError as error:
        problems = [_problem(each, tree, shown) for each in error.errors(include_url=False)]
        raise SuiteError(_sorted(problems)) from error
    crossed = [
        Problem(place=_place(tree, where, shown), key=dotted(where), message=message)
        for where, message in cross_check(suite)
    ]
    if crossed:
        raise SuiteError(_sorted(crossed))
    text, plain = without_passwords(text, plain, read=lambda written: _plain(_yaml(written, shown)))
    canonical = json.dumps(plain, sort_keys=True)
    return LoadedSuite(
        suite=suite,
        path=path.absolute(),
        shown=shown,
        text=text,
        hash=hashlib.sha256(canonical.encode()).hexdigest(),
    )


class _Texts(RoundTripConstructor):
    """Dates stay as written: the models parse them and report the line of an invalid one."""


_Texts.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_scalar)


def _yaml(text: str, shown: str) -> CommentedMap:
    try:
        check_bounds(YAML(typ="rt").parse(text))
        yaml = YAML(typ="rt")
        yaml.Constructor = _Texts
        tree = yaml.load(text)
    except UnboundedError as error:
        place = f"{shown}:{error.line}:{error.column}"
        raise SuiteError((Problem(place=place, key="", message=f"a suite that {error}"),)) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark is not None else shown
        message = (error.problem or error.context or "not YAML").split("\n")[0]
        if message.startswith("but "):  # the second half of a sentence
            message = f"{(error.context or '').replace(' in the stream', '')}, {message}"
        raise SuiteError((Problem(place=place, key="", message=f"not valid YAML: {message}"),)) from error
    except Exception as error:  # a parser that is not ours, on any text: it can raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SuiteError((Problem(place=shown, key="", message=f"not valid YAML: {first}"),)) from error
    if tree is None:
        raise SuiteError((Problem(place=shown, key="", message="the file is empty; `quantgate init` writes a start"),))
    if not isinstance(tree, CommentedMap):
        kind = "list" if isinstance(tree, CommentedSeq) else "single value"
        message = f"expected a mapping with suite, model, variants, tasks, got a {kind}"
        raise SuiteError((Problem(place=f"{shown}:1:1", key="", message=message),))
    return tree


class _UnfitError(Exception):
    """A value that no key of a suite can have, with its location."""

    def __init__(self, message: str, where: Path_) -> None:
        super().__init__(message)
        self.where = where


def _plain(node: Any, where: Path_ = ()) -> Any:
    """Plain Python values of a round-trip tree. Tags become text, which the models then refuse.

    Raises `_UnfitError` for strings that no file name can hold and for numbers that cannot be written out.
    """
    if isinstance(node, Mapping):
        return {_text(str(key), where): _plain(value, (*where, str(key))) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value, (*where, place)) for place, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int) and node.bit_length() > MOST_BITS:
        raise _UnfitError(f"expected an integer of at most {MOST_BITS} bits, got one of {node.bit_length():,}", where)
    for kind in (int, float):
        if isinstance(node, kind):
            return kind(node)
    return _text(str(node), where)


def _text(text: str, where: Path_) -> str:
    found = _UNWRITABLE.search(text)
    if found is not None:
        raise _UnfitError(f"expected a string without U+{ord(found[0]):04X}", where)
    return text


def _place(tree: CommentedMap, where: Path_, shown: str) -> str:
    """`file:line:column` of the deepest node of `where` that exists."""
    node: Any = tree
    line, column = 0, 0
    for step in where:
        if isinstance(node, CommentedMap) and step in node:
            line, column = _key_place(node, step) or (line, column)
            node = node[step]
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line, column = node.lc.item(step)
            node = node[step]
        else:
            break
    return f"{shown}:{line + 1}:{column + 1}"


def _key_place(node: CommentedMap, key: str | int) -> tuple[int, int] | None:
    """Line and column, from 0, at which a key is written: of one that came by `<<`, in the mapping it came from."""
    if key in (node.lc.data or {}):
        line, column = node.lc.key(key)
        return int(line), int(column)
    merged = (each[1] if isinstance(each, tuple) else each for each in node.merge)  # tuples before ruamel.yaml 0.19
    return next((found for source in merged if (found := _key_place(source, key)) is not None), None)


def dotted(where: Sequence[str | int]) -> str:
    """`gates[1].max_drop`."""
    text = ""
    for step in where:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _sorted(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """By line, without repeats."""

    def order(problem: Problem) -> tuple[int, int]:
        parts = problem.place.rsplit(":", 2)
        return (int(parts[1]), int(parts[2])) if len(parts) == 3 and parts[2].isdigit() else (0, 0)

    return tuple(sorted(dict.fromkeys(problems), key=order))


def _problem(error: ErrorDetails, tree: CommentedMap, shown: str) -> Problem:
    """A pydantic error as one of our messages."""
    where, method = _cleaned(error["loc"])
    message = _message(error, where, method)
    return Problem(place=_place(tree, where, shown), key=dotted(where), message=message)


def _cleaned(location: Path_) -> tuple[Path_, str | None]:
    """The location without union members, which are not keys of the file; and the quantization method among them."""
    where: list[str | int] = []
    method = None
    for step in location:
        if where and where[-1] == "quantize" and step in MODELS:
            method = str(step)
        elif not (isinstance(step, str) and _is_union_tag(step)):
            where.append(step)
    return tuple(where), method


def _is_union_tag(step: str) -> bool:
    return (
        step in ("str", "int", "float", "bool", "tuple[str, ...]", "tuple[str,...]", "list[str]", "constrained-float")
        or "[" in step
    )


def _message(error: ErrorDetails, where: Path_, method: str | None) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    got = _short(value)
    last = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        known = keys_at(where[:-1], method)
        return f"unknown key{nearest(last, known)}; expected one of {', '.join(known)}"
    if kind == "union_tag_not_found":
        return f"expected a mapping with a method: one of {', '.join(MODELS)}"
    if kind == "union_tag_invalid":
        tag = str(context.get("tag"))
        return f"unknown method {tag!r}{nearest(tag, MODELS)}; expected one of {', '.join(MODELS)}"
    if kind == "missing":
        return "required key missing"
    form = FORMS.get(last)
    if kind == "literal_error" and (form is None or not form.measured):
        return f"expected {context.get('expected')}, got {got}{_near_literal(value, str(context.get('expected')))}"
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    if last == "alpha":
        return f"expected a number between 0 and 0.5, got {got}"
    if form is not None and form.expects:
        return f"expected {form.expects}, got {got}{_points_advice(form, value)}"
    if last == "temperature" and value in (0, 0.0) and not isinstance(value, bool):
        return "temperature 0 takes the likeliest token, so that all answers to an item are equal; leave sampling out"
    bounds = {
        "greater_than": f"a number above {context.get('gt')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "less_than": f"a number below {context.get('lt')}",
        "less_than_equal": f"a number of at most {context.get('le')}",
        "string_pattern_mismatch": "a name of letters, digits, '.', '_' and '-'",
        "string_type": "a string",
        "float_type": "a number",
        "int_type": "an integer",
        "bool_type": "true or false",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "tuple_type": "a list",
        "list_type": "a list",
        "too_short": f"at least {context.get('min_length')} entries",
        "finite_number": "a finite number",
    }
    return f"expected {bounds.get(kind, error['msg'][:1].lower() + error['msg'][1:])}, got {got}"


def _points_advice(form: Form, value: object) -> str:
    """How a limit in percentage points is written, where a percentage or an integer came instead."""
    if form.notation is not Notation.POINTS:
        return ""
    if isinstance(value, str) and value.strip().endswith("%"):
        share = value.strip().rstrip("%").strip()
        return f"; for {share} percentage points write {_hundredth(share)}, for a relative loss {MAX_RELATIVE_DROP.key}"
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 100:
        return f"; {value} percentage points is {value / 100}"
    return ""


def _hundredth(share: str) -> str:
    try:
        return f"{float(share) / 100:g}"
    except ValueError:
        return "a fraction"


def _near_literal(value: object, expected: str) -> str:
    names = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
    close = difflib.get_close_matches(str(value), names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
