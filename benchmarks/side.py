"""One side of a comparison in a process of its own: loads once, then runs a workload as often as it is told.

    python benchmarks/side.py ours|lm-eval|plain MODEL DEVICE DTYPE WORKLOAD.json

Each line of standard input is a request (`{"batch": 8, "items": 16}`); each answer on standard output gives wall-clock
and processor seconds and every item's result. What others print goes to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from harness.engines.protocol import Engine

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
Run = Callable[[dict[str, Any]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Model:
    """What every side of a comparison loads."""

    path: str
    device: str
    dtype: str


def load_transformers(model: Model) -> Any:
    """The model by transformers alone: float32, or nf4 in bitsandbytes with float32 compute."""
    import torch
    import transformers

    keywords: dict[str, Any] = {"dtype": torch.float32, "device_map": {"": model.device}}
    if model.dtype == "nf4":
        keywords["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
        )
    return transformers.AutoModelForCausalLM.from_pretrained(model.path, **keywords).eval()


def lm_eval_side(model: Model, workload: dict[str, Any]) -> Run:
    """lm-eval's `hf` model on its own task object."""
    import datasets
    import lm_eval
    import transformers
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    rows = [json.loads(line) for line in Path(workload["file"]).read_text().splitlines()]
    lm = HFLM(
        pretrained=load_transformers(model),
        tokenizer=transformers.AutoTokenizer.from_pretrained(model.path),
        batch_size=1,
        max_length=workload["max_length"],
        device=model.device,
    )

    def run(request: dict[str, Any]) -> list[Any]:
        part = rows[: request.get("items")]
        config = {
            "task": workload["name"],
            "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(part)},
            "test_split": "test",
            **workload["theirs"],
        }
        task = ConfigurableTask(config=config)
        lm.batch_size_per_gpu = request["batch"]
        with timed(request):
            found = lm_eval.simple_evaluate(model=lm, tasks=[task], bootstrap_iters=0)
        assert found is not None
        samples = sorted(found["samples"][workload["name"]], key=lambda sample: int(sample["doc_id"]))
        return [_their_result(workload["theirs"]["output_type"], sample) for sample in samples]

    return run


def _their_result(kind: str, sample: dict[str, Any]) -> Any:
    if kind == "multiple_choice":
        return [float(response[0]) for response in sample["filtered_resps"]]
    if kind == "generate_until":
        return sample["resps"][0][0]
    return float(sample["filtered_resps"][0])


class OurSide:
    """A planned task of a one-variant suite, and where its results go."""

    def __init__(self, model: Model, workload: dict[str, Any], folder: Path) -> None:
        from harness.runner.variants import resolve_variant, suite_tokenizer
        from harness.suite.load import load_suite

        candidate: dict[str, Any] = {"dtype": "float32", "device": model.device}
        if model.dtype == "nf4":
            candidate["quantize"] = {"method": "bitsandbytes", "bits": 4, "type": "nf4"}
        variants = {"base": {"baseline": True, "dtype": "float32", "device": model.device}, "variant": candidate}
        path = folder / "suite.yaml"
        path.write_text(
            json.dumps({"suite": "bench", "model": model.path, "variants": variants, "tasks": {"t": workload["ours"]}})
        )
        self.loaded = load_suite(path)
        self.variant = resolve_variant(self.loaded, "base" if model.dtype == "float32" else "variant", offline=True)
        self.tokenizer = suite_tokenizer(self.variant)

    def plan(self, items: int | None) -> Any:
        from harness.planning.plan_suite import plan_suite

        return plan_suite(self.loaded, self.tokenizer, context_length=None, limit=items)[0]


def our_side(model: Model, workload: dict[str, Any], *, at_once: bool = False) -> Run:
    """quantgate's own way from the text to the stored records, with a worker process.

    `at_once`: of an engine that answers from a hash, so that what takes time is everything around an engine.
    """
    from harness.records.store import Store
    from harness.runner.evaluate import evaluate
    from harness.runner.evaluation_keys import Keys
    from harness.runner.host import Usage, is_idle, this_host
    from harness.runner.progress import Silent
    from harness.runner.run_setting import RunSetting
    from harness.runner.session import Session
    from harness.worker.client import Worker

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    side, host = OurSide(model, workload, folder), this_host()
    if at_once:
        scripted = replace(side.variant.load, engine="scripted")
        side.variant = replace(side.variant, load=scripted, content=None)  # it opens no file to hold against a hash
    before = Usage.now()
    spins = is_idle(before, Usage.later(before))
    print(f"threads {'spin' if spins else 'sleep'} while they wait")
    start = partial(Worker, "bench", log=folder / "worker.log", spins=spins)
    session = Session(side.variant, start, print)
    session.facts()

    def run(request: dict[str, Any]) -> list[Any]:
        store = Store(folder / "results")
        with timed(request):
            plan = side.plan(request.get("items"))
            identity = side.variant.identity(plan, side.tokenizer.identity, None)
            setting = RunSetting(
                suite=side.loaded.suite,
                baseline=side.variant,
                plans=(plan,),
                keys=Keys(store, side.tokenizer.identity, "bench", fresh=False),
                store=store,
                host=host,
                reporter=Silent(),
            )
            manifest = evaluate(setting, session, plan, identity, keep_states=False)
        request["flops"] = product_flops(plan, manifest.facts.parameters, output_values(model))
        by_id = {item.item: item for item in store.items(manifest.key)}
        shutil.rmtree(folder / "results")
        return [our_result(by_id[planned.item]) for planned in plan.items]

    return run


def output_values(model: Model) -> int:
    """Weights of the output layer."""
    config = json.loads((Path(model.path) / "config.json").read_text())
    return int(config["vocab_size"] * config["hidden_size"])


def product_flops(plan: Any, parameters: int, output: int) -> float | None:
    """Operations of the matrix products that scoring cannot do without: every distinct token through the layers, every
    scored position through the output layer (tied to the embeddings, as SmolLM2's is). Attention is left out.

    `output`: weights of the output layer."""
    from harness.engines.transformers.prefix_tree import tree_row

    if plan.kind == "generate":
        return None
    tokens = positions = 0
    heads = set()
    for request in (each for item in plan.requests for each in item):
        if plan.kind == "choice":
            row = tree_row(request, request.shared)
            tokens += len(row.tokens)
            positions += len({spot for spot, _, _ in row.targets})
            heads.add(request.context[: request.shared])
        else:
            tokens += len(request.tokens) - 1
            positions += len(request.tokens) - request.scored_from
    tokens += sum(map(len, heads))
    return 2.0 * (tokens * (parameters - output) + positions * output)


def our_result(item: Any) -> Any:
    if item.document is not None:
        return -item.document.nll
    if item.answer is not None:
        return item.answer.text
    return [option.log_likelihood for option in item.options]


def engine_side(model: Model, workload: dict[str, Any], *, at_once: bool = False) -> Run:
    """The bare engine in this process on the same batches: no worker, no pipe, no records.

    `at_once`: the one that answers from a hash.
    """
    from harness.engines import scripted
    from harness.engines.transformers import transformers_engine

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    side = OurSide(model, workload, folder)
    engine: Engine = (scripted if at_once else transformers_engine).load(side.variant.load)
    kinds: dict[str, Callable[[Any], list[Any]]] = {
        "choice": engine.score,
        "generate": engine.generate,
        "perplexity": engine.score_windows,
    }

    def run(request: dict[str, Any]) -> list[Any]:
        plan = side.plan(request.get("items"))
        with timed(request):
            for chunk in plan.chunks:
                kinds[plan.kind]([each for index in chunk for each in plan.requests[index]])
        return []

    return run


def plain_side(model: Model, workload: dict[str, Any]) -> Run:
    """A plain transformers loop over the windows of a perplexity task: whole logits, log-softmax, gather."""
    import torch

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    side = OurSide(model, workload, folder)
    own = load_transformers(model)

    def run(request: dict[str, Any]) -> list[Any]:
        plan = side.plan(request.get("items"))
        found = []
        with timed(request), torch.inference_mode():
            for windows in plan.requests:
                total = 0.0
                for window in windows:
                    ids = torch.tensor([window.tokens], device=model.device)
                    logits = own(input_ids=ids[:, :-1], use_cache=False).logits[0, window.scored_from - 1 :]
                    wanted = ids[0, window.scored_from :, None]
                    total += float(torch.log_softmax(logits.float(), -1).gather(-1, wanted).sum())
                found.append(total)
        return found

    return run


class timed:  # noqa: N801  # reads as the statement it is used as
    """Wall-clock and processor seconds of a block, children included, into `request`."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request

    def __enter__(self) -> None:
        self._cpu, self._wall = processor_seconds(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._request["wall"] = time.perf_counter() - self._wall
        self._request["cpu"] = processor_seconds() - self._cpu


def processor_seconds() -> float:
    own = psutil.Process()
    times = [each.cpu_times() for each in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)


SIDES = {"ours": our_side, "lm-eval": lm_eval_side, "plain": plain_side}


def main() -> None:
    side, path, device, dtype, file = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    run = SIDES[side](Model(path=path, device=device, dtype=dtype), json.loads(Path(file).read_text()))
    answers.write(json.dumps({"ready": side}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        results = run(request)
        figures = {name: request.get(name) for name in ("wall", "cpu", "flops")}
        answers.write(json.dumps({**figures, "results": results}) + "\n")


if __name__ == "__main__":
    main()
