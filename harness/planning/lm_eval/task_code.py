"""Python that a local lm-eval YAML refers to: found by reading the YAML, before any of it is imported.

Code that belongs to a task runs only with `allow_task_code: true` in the suite. lm-eval's own tasks are code of an
installed package like any other and need no permission. Also refuses code without a function tag: Python tags of YAML,
metrics that Hugging Face's `evaluate` would fetch and run, data sets that are pickles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datafiles.rows import problem
from harness.errors import SuiteError
from harness.suite.input_limits import UnboundedError, check_bounds
from harness.suite.load import LoadedSuite

PYTHON_TAG = "tag:yaml.org,2002:python/"
PICKLED = frozenset({"pandas"})
"""Kinds of data set whose files are unpickled, which runs arbitrary code."""
MOST_BYTES = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Code:
    """One thing in a task's YAML that runs Python."""

    file: Path
    line: int
    key: str
    what: str


def check_task_code(loaded: LoadedSuite, key: str, file: Path) -> None:
    """Raises `SuiteError` for a YAML that refers to Python without the suite's permission, and for one that is too
    large or too deep."""
    found = list(task_code(loaded, key, file))
    if not found or loaded.suite.allow_task_code:
        return
    first = found[0]
    more = f" ({len(found)} places in all)" if len(found) > 1 else ""
    raise problem(
        loaded.shown,
        key,
        f"{first.file}:{first.line}: {first.key}: {first.what}{more}. Python that belongs to a task runs only with "
        "allow_task_code: true in the suite; set it if you trust these files",
    )


def task_code(loaded: LoadedSuite, key: str, file: Path) -> Iterator[Code]:
    """Everything that runs Python in the YAML, in its includes, and for a group in its members' folder."""
    pending, seen = [file.resolve()], set[Path]()
    metrics: list[Code] = []
    scores_itself = False
    while pending:
        path = pending.pop(0)
        if path in seen or _is_lm_evals(path):
            scores_itself |= path not in seen and _is_lm_evals(path)
            continue
        seen.add(path)
        tree = _tree(loaded, key, path)
        if tree is None:
            continue
        yield from _tags(path, tree)
        top = _mapping(tree)
        scores_itself |= "process_results" in top
        metrics += _foreign_metrics(path, top)
        yield from _pickles(path, top)
        pending += [path.parent / name for name in _texts(top.get("include"))]
        if "group" in top or ("task" in top and type(top["task"]).__name__ != "ScalarNode"):
            pending += sorted(each for each in path.parent.rglob("*") if each.suffix in (".yaml", ".yml"))
    if not scores_itself:
        yield from metrics


def _is_lm_evals(path: Path) -> bool:
    import lm_eval

    return path.is_relative_to(Path(lm_eval.__file__).resolve().parent)


def _tree(loaded: LoadedSuite, key: str, path: Path) -> Any:
    """The YAML's nodes, nothing constructed; None for a missing file, which lm-eval reports."""
    import yaml

    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise problem(loaded.shown, key, f"{path}: a task of over 5 MB is no task")
        text = path.read_text(encoding="utf-8")
        check_bounds(yaml.parse(text, Loader=yaml.SafeLoader))
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except UnboundedError as error:
        raise problem(loaded.shown, key, f"{path}:{error.line}:{error.column}: {error}") from error
    except SuiteError:
        raise
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise problem(loaded.shown, key, f"{path}: not valid YAML: {' '.join(str(error).split())[:300]}") from error


def _mapping(node: Any) -> dict[str, Any]:
    """Top-level keys to their nodes, merged ones included."""
    found: dict[str, Any] = {}
    if type(node).__name__ != "MappingNode":
        return found
    for name, value in node.value:
        if name.value == "<<":
            parts = value.value if type(value).__name__ == "SequenceNode" else [value]
            for part in parts:
                found = {**_mapping(part), **found}
        elif isinstance(name.value, str):
            found[name.value] = value
    return found


def _texts(node: Any) -> list[str]:
    """A string or a list of strings."""
    if node is None:
        return []
    parts = node.value if type(node).__name__ == "SequenceNode" else [node]
    return [each.value for each in parts if isinstance(each.value, str)]


def _tags(path: Path, tree: Any) -> Iterator[Code]:
    """Every node with a Python tag."""
    pending, seen = [(tree, "")], set[int]()
    while pending:
        node, key = pending.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        tag = str(node.tag)
        if not tag.startswith("tag:yaml.org,2002:") or tag.startswith(PYTHON_TAG):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            value = node.value if isinstance(node.value, str) else ""
            yield Code(
                file=path, line=node.start_mark.line + 1, key=key or "top", what=f"runs Python ({shown} {value})"
            )
        if type(node).__name__ == "MappingNode":
            for name, value in node.value:
                inner = f"{key}.{name.value}" if key else str(name.value)
                pending += [(name, inner), (value, inner)]
        elif type(node).__name__ == "SequenceNode":
            pending += [(each, f"{key}[{place}]") for place, each in enumerate(node.value)]


def _foreign_metrics(path: Path, top: dict[str, Any]) -> Iterator[Code]:
    """Metrics that are not lm-eval's own: `evaluate` would fetch their code, or take it from a folder."""
    from lm_eval.api import metrics as _  # noqa: F401  # registers lm-eval's metrics
    from lm_eval.api.registry import METRIC_REGISTRY

    listed = top.get("metric_list")
    if listed is None or type(listed).__name__ != "SequenceNode":
        return
    for place, entry in enumerate(listed.value):
        keys = _mapping(entry)
        metric = keys.get("metric")
        if metric is None or not isinstance(metric.value, str) or str(metric.tag) == "!function":
            continue
        name = metric.value
        forced = "hf_evaluate" in keys and str(keys["hf_evaluate"].value).lower() in ("true", "yes", "on")
        if forced or name not in METRIC_REGISTRY:
            line = metric.start_mark.line + 1
            what = f"runs Python ({name} is no metric of lm-eval's; Hugging Face's evaluate would load its code)"
            yield Code(file=path, line=line, key=f"metric_list[{place}].metric", what=what)


def _pickles(path: Path, top: dict[str, Any]) -> Iterator[Code]:
    for name in _texts(top.get("dataset_path")):
        if name in PICKLED or name.endswith(".py"):
            line = top["dataset_path"].start_mark.line + 1
            yield Code(file=path, line=line, key="dataset_path", what=f"runs Python (data of the kind {name})")
