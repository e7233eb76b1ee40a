"""Jinja templates of a suite over the fields of a row, in a sandbox.

Owns how a template becomes a string or a value. The dialect is lm-eval's (StrictUndefined, kept newlines,
`regex_replace`); what it adds: only strings are ever printed (`values.text_of`), wherever Jinja would call `str()`, and
no template reaches Python, draws random numbers or runs forever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, wraps
from typing import Any

import jinja2
import regex
from jinja2 import filters, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment, SandboxedFormatter

from harness.datafiles.rows import Row, problem
from harness.datafiles.values import NotTextError, text_of
from harness.errors import SuiteError

SECONDS = 5.0
"""Time limit of a regular expression on one string."""
MOST = 10_000_000
"""The longest string a template may produce, in characters, and the largest number a call in it may take."""
BITS = 10_000
"""Of the largest number a template may compute."""
ROUNDS = 1_000_000
"""Iterations of all loops and calls of one rendering together, so that nested loops end too."""
PRINTING = (
    "string", "upper", "lower", "capitalize", "title", "trim", "replace", "truncate", "wordwrap", "indent", "center",
    "escape", "e", "forceescape", "striptags", "urlencode", "wordcount", "format", "safe",
)  # fmt: skip
"""Filters that convert their input to a string."""
COUNTED = "counted "
"""Name of our own filter; the blank keeps it out of templates."""
LEFT_OUT = ("pprint", "random", "xmlattr", "urlize")
"""Filters whose output is Python's notation, or differs each time."""
A_CALL = 10
"""Iterations that a call counts as: it takes longer."""
CONVERSION = re.compile(r"%(?:\((?P<name>[^)]*)\))?[-#0 +]*(?P<size>[\d.*]*)[hlL]?(?P<kind>.)", re.DOTALL)


def printed(value: object) -> str:
    """What `{{ value }}` writes. Raises `NotTextError`; jinja2's own error for a name that is not there."""
    text = str(value) if isinstance(value, jinja2.Undefined) else text_of(value)
    _check_length(len(text))
    return text


class Templates(ImmutableSandboxedEnvironment):
    """The shared environment."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, finalize=printed)
        self.filters["regex_replace"] = _printing(_regex_replace)
        self.filters.update({name: _printing(self.filters[name]) for name in PRINTING})
        self.filters["join"] = _join
        for name in LEFT_OUT:
            del self.filters[name]
        self.filters = {name: _modest(each) for name, each in self.filters.items()}
        self.filters[COUNTED] = self._counted
        del self.globals["lipsum"]
        self.left = ROUNDS

    def _generate(self, source: nodes.Template, *args: Any, **named: Any) -> str:
        """`a ~ b` prints both, where Jinja would call `str()` on them; every round of a loop is counted."""
        for joined in source.find_all(nodes.Concat):
            joined.nodes = [nodes.Filter(each, "string", [], [], None, None, lineno=1) for each in joined.nodes]
        for loop in source.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.lineno)
        source.set_environment(self)
        return super()._generate(source, *args, **named)

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.left -= 1
            if self.left < 0:
                raise SecurityError(f"more than {ROUNDS:,} rounds of its loops")
            yield value

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of a mapping comes before Python's method of that name: `{{ row.items }}`, `{{ row.index }}`."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            _check_conversions(left, right)
        else:
            _check_size(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self.left -= A_CALL  # macros and recursive loops call themselves
        if self.left < 0:
            raise SecurityError(f"more than {ROUNDS:,} rounds of its loops and calls")
        _check_numbers((*args, *kwargs.values()))
        text = getattr(obj, "__self__", None)
        if isinstance(text, str):
            _check_method(text, getattr(obj, "__name__", ""), args)
        return super().call(context, obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`"{}".format(x)`, whose fields are printed like any other."""
        if super().wrap_str_format(value) is None:
            return None
        pattern, is_map = value.__self__, value.__name__ == "format_map"

        def formatted(*args: Any, **kwargs: Any) -> str:
            given, named = ((), args[0]) if is_map else (args, kwargs)
            return _Formatter(self).vformat(pattern, given, named)

        return formatted


class _Formatter(SandboxedFormatter):
    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == "r" or conversion == "a":
            raise NotTextError(f"a field written as Python has it (!{conversion}); leave that out")
        return value

    def format_field(self, value: Any, format_spec: str) -> str:
        if any(int(size) > MOST for size in re.findall(r"\d+", format_spec)):
            raise SecurityError(f"a field wider than {MOST:,}")
        is_float = isinstance(value, float) and bool(format_spec)
        return str(format(float(value), format_spec) if is_float else format(_plain(value), format_spec))


def _plain(value: Any) -> Any:
    """An integer as it is, so that a format can say its width; anything else as text."""
    return value if isinstance(value, int) and not isinstance(value, bool) else printed(value)


def _check_conversions(pattern: str, values: Any) -> None:
    """What `%` writes must be a text or a number, a number that is computed with its digits said (`%.2f`)."""
    given = iter(values if isinstance(values, tuple) else (values,))
    for found in CONVERSION.finditer(pattern):
        if found["kind"] == "%":
            continue
        if found["kind"] in "ra" or "*" in found["size"]:
            raise NotTextError(f"%{found['size']}{found['kind']}, which writes as Python does; use %s")
        if any(int(size) > MOST for size in re.findall(r"\d+", found["size"])):
            raise SecurityError(f"a field wider than {MOST:,}")
        value = values[found["name"]] if found["name"] and isinstance(values, Mapping) else next(given, "")
        if not (isinstance(value, int | float) and found["kind"] in "diouxXeEfFgG"):
            printed(value)


def _check_size(operator: str, left: Any, right: Any) -> None:
    """No text or list longer than `MOST`, no number of more than `BITS`."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS:
            raise SecurityError(f"a number of more than {BITS:,} bits")
    for sequence, other in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple):
            more = len(other) if isinstance(other, str | list | tuple) else 0
            _check_length(len(sequence) * other if isinstance(other, int) else len(sequence) + more)


def _check_method(text: str, name: str, args: Sequence[Any]) -> None:
    """String methods that multiply its length."""
    if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        _check_length(len(text) + text.count(args[0]) * len(args[1]))
    elif name == "join" and args and isinstance(args[0], list | tuple | str):
        _check_length(len(text) * len(args[0]))


def _check_length(length: int) -> None:
    if length > MOST:
        raise SecurityError(f"a text or list longer than {MOST:,}")


def _check_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(each, int) and abs(each) > MOST for each in values):
        raise SecurityError(f"a call with a number above {MOST:,}")


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    """lm-eval's filter, `re.sub`, with a time limit."""
    try:
        return str(regex.sub(pattern, repl, text, count=count, timeout=SECONDS))
    except TimeoutError:
        raise SecurityError(
            f"a regular expression that takes more than {SECONDS:.0f} seconds: {pattern!r:.60}"
        ) from None


def _printing(inner: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, given what its value prints as."""
    place = 1 if hasattr(inner, "jinja_pass_arg") else 0

    @wraps(inner)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        value, text = args[place], printed(args[place])
        if inner is filters.do_replace:
            _check_method(text, "replace", args[place + 1 :])
        if inner is filters.do_format:
            _check_conversions(text, args[place + 1 :] or kwargs)
        return inner(*args[:place], value if isinstance(value, str) else text, *args[place + 1 :], **kwargs)

    return filtered


def _modest(inner: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which takes no huge number: `| center(10 ** 9)`, `| batch(10 ** 9, x)`."""

    @wraps(inner)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        _check_numbers((*args[1:], *kwargs.values()))
        return inner(*args, **kwargs)

    return filtered


@jinja2.pass_environment
def _join(environment: Templates, value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    getter = filters.make_attrgetter(environment, attribute) if attribute is not None else lambda each: each
    parts, between, length = [], printed(d), 0
    for each in value:
        parts.append(printed(getter(each)))
        length += len(parts[-1]) + len(between)
        _check_length(length)
    return between.join(parts)


@cache
def environment() -> Templates:
    return Templates()


@lru_cache(maxsize=256)
def _template(text: str) -> jinja2.Template:
    return environment().from_string(text)


@lru_cache(maxsize=256)
def _expression(text: str) -> Callable[..., Any] | None:
    """The expression of a template that is nothing else: `{{ choices.text }}`, `{{ labels.index(answer) }}`."""
    stripped = text.strip()
    body = environment().parse(stripped).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return None
    if isinstance(body[0].nodes[0], nodes.TemplateData):
        return None
    inner = re.sub(r"^\{\{[-+]?|[-+]?\}\}$", "", stripped)
    return environment().compile_expression(inner, undefined_to_none=False)


def names_read(template: str) -> frozenset[str]:
    """The fields that a template reads. Raises jinja2's error for a broken template."""
    asked = meta.find_undeclared_variables(environment().parse(template))
    return frozenset(asked - environment().globals.keys())


def render(template: str, row: Row, key: str) -> str:
    """The template's text. Raises `SuiteError` with the place."""

    return str(_tried(lambda: _text(template, row), row, key))


def value_of(template: str, row: Row, key: str) -> object:
    """The value of a template that is one expression, whatever its type; the string of any other template."""

    def make() -> object:
        expression = _expression(template)
        if expression is None:
            return _text(template, row)
        found = expression(_names(row))
        if isinstance(found, jinja2.Undefined):
            printed(found)  # raises, naming what is not there
        return found

    return _tried(make, row, key)


def _names(row: Row) -> dict[str, object]:
    """The fields, and all of them as `row`: `{{ row["a name with spaces"] }}`."""
    return {"row": row.fields, **row.fields}


def _other_names(row: Row) -> str:
    """How to write a field whose name is not an identifier."""
    odd = next((name for name in row.fields if not name.isidentifier()), None)
    return f"; a field whose name is no single word is {{{{ row[{odd!r}] }}}}" if odd else ""


def _text(template: str, row: Row) -> str:
    parts, length = [], 0
    for part in _template(template).generate(_names(row)):
        parts.append(part)
        length += len(part)
        _check_length(length)
    return "".join(parts)


def _tried(make: Callable[[], object], row: Row, key: str) -> object:
    environment().left = ROUNDS
    try:
        return make()
    except NotTextError as error:
        raise problem(row.place, key, f"expected a string, got {error}") from error
    except jinja2.TemplateSyntaxError as error:
        raise problem(row.place, key, f"the template is broken: {error.message}{_other_names(row)}") from error
    except SecurityError as error:
        raise problem(row.place, key, f"refused in a template: {error.message}") from error
    except jinja2.TemplateError as error:
        fields = ", ".join(map(repr, row.fields))
        raise problem(row.place, key, f"{error.message}; the row has {fields}{_other_names(row)}") from error
    except SuiteError:
        raise
    except Exception as error:  # a template calls methods of texts and lists, which raise anything
        raise problem(row.place, key, f"the template failed: {type(error).__name__}: {error!s:.120}") from error


def text(value: object, row: Row, key: str) -> str:
    """The value's text. Raises `SuiteError` with the place."""
    try:
        return text_of(value)
    except NotTextError as error:
        raise problem(row.place, key, f"expected a string, got {error}") from error


@cache
def sandbox_lm_eval() -> None:
    """Templates of lm-eval's tasks reach no Python either: its one environment, of the same settings, in a sandbox.

    lm-eval has no setting for it; `lm_eval.utils.apply_template` looks the environment up by this name each time.
    """
    from lm_eval import utils

    plain = utils.env
    boxed = SandboxedEnvironment(loader=plain.loader, undefined=plain.undefined, keep_trailing_newline=True)
    boxed.filters.update(plain.filters)
    utils.env = boxed
