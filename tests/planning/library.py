"""lm-eval's own tasks over rows that are made up: a row gets the fields that the task's templates and code ask for.

A task is built again and again; each time lm-eval misses a field or finds one of another kind than it needs, the row is
mended, until the task builds all its requests. Tasks that need files, packages or values of meaning stay unbuilt.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes

from harness.engines.scripted import ScriptedTokenizer
from harness.planning.lm_eval.lm_eval_tasks import FEW_SHOT_SEED, SUPPORTED, lm_evals_seeds
from harness.planning.prompts.short_forms import Docs
from harness.planning.requests import lm_evals_instances

TEXTS = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix")
CODE = ("process_docs", "process_results", "metric_list", "filter_list", "custom_dataset")
COUNT = 4
"""Rows of every split."""
ASKING = ("nltk", "swipl", "sys.exit")
"""In Python that downloads, starts other programs or ends this one; it is not run."""
TRIES = 24
GUESSES = (None, "A", "1", 0, "a", "yes", "True", "entailment", "positive")
"""Values of a field, one after the other where a task does not know the one before."""
Row = dict[str, Any]
STRING_METHODS = frozenset(
    ("strip", "lower", "upper", "replace", "split", "capitalize", "startswith", "endswith", "lstrip", "rstrip", "title")
)
CONTAINER_METHODS = frozenset(("index", "keys", "values", "items", "append", "join", "format"))


def yaml_files(root: Path) -> Iterator[Path]:
    """A task of every folder of the library and of every folder in one, and every task with a prefix for the answer."""
    seen: set[tuple[str, ...]] = set()
    for path in sorted(root.rglob("*.yaml")):
        text, folder = path.read_text(), path.relative_to(root).parts[:-1][:2]
        if "task:" not in text or path.name.startswith("_"):
            continue
        if "gen_prefix" in text or folder not in seen:
            seen.add(folder)
            yield path


class Shape:
    """What templates do with a field."""

    def __init__(self) -> None:
        self.keys: dict[str, Shape] = {}
        self.listed: Shape | None = None
        self.number = False
        self.text = False
        self.guess = 0

    def key(self, name: str) -> Shape:
        return self.keys.setdefault(name, Shape())

    def item(self) -> Shape:
        self.listed = self.listed or Shape()
        return self.listed

    def value(self, name: str, row: int) -> Any:
        if self.keys and not self.text:
            return {key: shape.value(key, row) for key, shape in self.keys.items()}
        if self.listed is not None and not self.text:
            return [self.listed.value(f"{name} {n}", row) for n in range(4)]
        guess = GUESSES[self.guess]
        return row % 2 if self.number else f"{name} of {row}" if guess is None else guess


class Reader:
    """Walks a template and notes in `root` what it does with which field."""

    def __init__(self, root: Shape) -> None:
        self.root = root
        self.bound = dict.fromkeys(("range", "loop", "namespace", "dict"), Shape())

    def read(self, template: str) -> None:
        self.walk(jinja2.Environment(autoescape=False, extensions=["jinja2.ext.loopcontrols"]).parse(template))

    def shape(self, node: nodes.Node) -> Shape | None:
        match node:
            case nodes.Name():
                return self.bound.get(node.name) or self.root.key(node.name)
            case nodes.Getattr():
                return self.attribute(self.shape(node.node), node.attr)
            case nodes.Getitem():
                return self.element(self.shape(node.node), node.arg)
            case nodes.Filter(node=nodes.Expr() as filtered):
                inner = self.shape(filtered)
                if inner is not None and node.name in ("join", "list", "length", "first", "random"):
                    inner.item()
        return None

    def attribute(self, inner: Shape | None, name: str) -> Shape | None:
        if inner is None or name in CONTAINER_METHODS:
            return None
        if name in STRING_METHODS:
            inner.text = True
            return None
        return inner.key(name)

    def element(self, inner: Shape | None, place: nodes.Node) -> Shape | None:
        match place:
            case nodes.Const(value=str(name)):
                return inner.key(name) if inner is not None else None
            case nodes.Slice():
                return inner
        if (index := self.shape(place)) is not None:
            index.number = True
        return inner.item() if inner is not None else None

    def walk(self, node: nodes.Node) -> None:
        match node:
            case nodes.For(target=nodes.Name(name=name)):
                inner = self.shape(node.iter)
                self.bound[name] = inner.item() if inner is not None else Shape()
            case nodes.For(target=nodes.Tuple(items=items)):
                self.bound.update({each.name: Shape() for each in items if isinstance(each, nodes.Name)})
            case nodes.Assign(target=nodes.Name(name=name)):
                self.bound[name] = self.shape(node.node) or Shape()
            case nodes.Add() | nodes.Sub() | nodes.Mul():
                sides = [node.left, node.right]
                if any(isinstance(each, nodes.Const) and isinstance(each.value, int) for each in sides):
                    for found in filter(None, map(self.shape, sides)):
                        found.number = True
            case _:
                self.shape(node)
        for child in node.iter_child_nodes():
            self.walk(child)


def first_shape(config: Mapping[str, Any]) -> Shape:
    root = Shape()
    few = config.get("fewshot_config") or {}
    places = [*config.items(), *(few.items() if isinstance(few, Mapping) else ())]
    for name, template in places:
        if name not in TEXTS or not isinstance(template, str):
            continue
        if re.fullmatch(r"\w+", template) and name != "description":
            shape = root.key(template)
            if name == "doc_to_choice":
                shape.item()
            if name == "doc_to_target" and "doc_to_choice" in config:
                shape.number = True
        else:
            Reader(root).read(template)
            if name == "doc_to_target" and "doc_to_choice" in config and (plain := named(template)):
                root.key(plain).number = True
            if name == "doc_to_choice" and (plain := named(template)):
                root.key(plain).item()
    return root


def named(template: str) -> str | None:
    found = re.fullmatch(r"\{\{-?\s*(\w+)\s*-?\}\}", template.strip())
    return found[1] if found else None


def mend(root: Shape, error: BaseException) -> bool:
    """Adds what was missing, or tries another value where one did not fit, as far as the error says."""
    says = str(error)
    if isinstance(error, KeyError | ValueError):
        if found := re.search(r"'(\w+?)(?: \d)? of \d'", says):
            return another(root, name=found[1])
        if (found := re.fullmatch(r"'(\w+)'( is not in list)?", says)) and found[1] in GUESSES:
            return another(root, value=found[1])
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        name = error.args[0]
    elif found := re.search(r"'(\w+)' is undefined|has no attribute '(\w+)'|Column (\w+) ", says):
        name = next(each for each in found.groups() if each)
    else:
        return False
    if name in root.keys:
        return False
    root.key(name)
    return True


def another(shape: Shape, *, name: str | None = None, value: str | None = None) -> bool:
    """The next value for the field of this name, or for the one that has this value, wherever it stands."""
    for key, inner in shape.keys.items():
        meant = key == name or (inner.guess > 0 and GUESSES[inner.guess] == value)
        if meant and inner.guess + 1 < len(GUESSES):
            inner.guess += 1
            return True
        if another(inner, name=name, value=value):
            return True
    return False


def rows_of(root: Shape) -> list[Row]:
    return [{name: shape.value(name, row) for name, shape in root.keys.items()} for row in range(COUNT)]


def configs(path: Path) -> Iterator[Row]:
    """The task's configuration; without what makes its documents; without what judges its answers either."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        if any(word in code.read_text() for code in path.parent.glob("*.py") for word in ASKING):
            raise ImportError(path)
        config = load_yaml(path, resolve_func=True)
        yield config
        yield without(config, "process_docs")
    except (Exception, SystemExit):  # noqa: BLE001  # the task's Python, which may ask for anything
        config = load_yaml(path, resolve_func=False)
        if not any(str(path.parent) in str(config.get(key)) for key in TEXTS):
            yield without(config, *CODE, "fewshot_config")


def without(config: Row, *keys: str) -> Row:
    kept = {key: value for key, value in config.items() if key not in keys}
    if isinstance(few := kept.get("fewshot_config"), Mapping):
        kept["fewshot_config"] = {key: value for key, value in few.items() if key not in keys}
    return kept


def built(path: Path) -> Any:
    """The task over made-up rows, or why it could not be built."""
    why = ""
    for config in configs(path):
        if "class" in config or not isinstance(config.get("task"), str) or "output_type" not in config:
            return "no task of templates"
        found = built_of(config)
        if not isinstance(found, str):
            return found
        why = why or found
    return why or "its functions cannot be loaded"


def built_of(config: Row) -> Any:
    """The task, or in words why not."""
    from lm_eval.api.task import ConfigurableTask

    config = without(config, "tag", "group", "task_list", "dataset_path", "dataset_name", "dataset_kwargs")
    root, why = first_shape(config), ""
    for _ in range(TRIES):
        rows = rows_of(root)

        def dataset(rows: list[Row] = rows, **_: object) -> Any:
            import datasets

            return {
                split: datasets.Dataset.from_list([dict(row, split_=split) for row in rows]) for split in splits(config)
            }

        try:
            task = ConfigurableTask(config={**copy.deepcopy(config), "custom_dataset": dataset})
            if task.OUTPUT_TYPE not in SUPPORTED:
                return "another type"
            task.set_fewshot_seed(seed=FEW_SHOT_SEED)
            task.build_all_requests()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            why = f"{type(error).__name__}: {error}"
            if not mend(root, error):
                return why
            continue
        return task
    return why


def splits(config: Mapping[str, Any]) -> set[str]:
    few = config.get("fewshot_config") or {}
    names = {config.get(name) for name in ("training_split", "validation_split", "test_split", "fewshot_split")}
    names |= {few.get("split")} if isinstance(few, Mapping) else set()
    return {name for name in names if isinstance(name, str)}


Told = list[tuple[object, ...]]


def told_of(instances: Iterable[Any]) -> Told:
    return [(each.request_type, each.args, each.doc_id, each.idx) for each in instances]


def theirs(task: Any, *, chat: bool) -> Told | None:
    """lm-eval's own requests; None where it cannot build them, mostly for too few examples."""
    task.set_fewshot_seed(seed=FEW_SHOT_SEED)
    try:
        with lm_evals_seeds():  # some tasks shuffle whenever their documents are asked for
            task.build_all_requests(
                apply_chat_template=chat,
                fewshot_as_multiturn=True,
                chat_template=ScriptedTokenizer().chat if chat else None,
            )
    except Exception:  # noqa: BLE001  # as above
        return None
    return told_of(task.instances)


def ours(task: Any, *, shots: int, chat: bool) -> Told:
    task.set_fewshot_seed(seed=FEW_SHOT_SEED)
    with lm_evals_seeds():
        docs = tuple(dict(doc) for doc in task.eval_docs)
    names = tuple(f"document {number}" for number in range(len(docs)))
    asked = Docs(task=task, docs=docs, rows=docs, ids=names, places=names, num_few_shot=shots)
    built = [lm_evals_instances("t", asked, place, ScriptedTokenizer(), chat=chat) for place in range(len(docs))]
    return told_of(each for some in built for each in some)


def compared(task: Any, *, shots: int, chat: bool) -> int | str | None:
    """How many instances equal lm-eval's own, or the first that does not; None where lm-eval itself builds none, or
    others every time."""
    task.set_config(key="num_fewshot", value=shots)
    first = theirs(task, chat=chat)
    if first is None:
        return None
    own = ours(task, shots=shots, chat=chat)
    if own == first:
        return len(own)
    if theirs(task, chat=chat) != first:
        return None
    pairs = zip(own, first, strict=True)
    return next(f"ours {mine!r:.300}, lm-eval's {their!r:.300}" for mine, their in pairs if mine != their)


def main(out: Path) -> None:
    """One line of JSON for every task: its path, and per shots and template the instances compared; or why not."""
    import lm_eval

    root = Path(lm_eval.__file__).parent / "tasks"
    warnings.simplefilter("ignore")
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    with out.open("w") as stream:
        for path in yaml_files(root):
            found = built(path)
            told: dict[str, object] = {"path": str(path.relative_to(root))}
            if isinstance(found, str):
                told["unbuilt"] = found
            else:
                equal = [compared(found, shots=shots, chat=chat) for shots in (0, 2) for chat in (False, True)]
                told |= {"type": found.OUTPUT_TYPE, "prefix": found.config.gen_prefix is not None, "equal": equal}
            stream.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
