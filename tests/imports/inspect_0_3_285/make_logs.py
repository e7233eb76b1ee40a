"""Makes the logs beside it with inspect_ai 0.3.285, without network and weights: `python make_logs.py FOLDER`.

`base` and `quantized`: the same choice task with other answers, and a task with three epochs, four scorers (one of them
with two numbers, one of which is NaN once), a sample that ends with an error, one that hits the message limit, one that
is cut off. `other_forms`: the choice task of `base` as `.json`, and with its samples as folders.
"""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

from inspect_ai import Epochs, Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.log._recorders.chunked import convert_eval_logs_to_chunked
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, choice, includes, match, mean, scorer, stderr
from inspect_ai.solver import generate, multiple_choice, solver

FOLDER = Path(sys.argv[1])
RIGHT = {"base": 5, "quantized": 4}
"""Of the six picks."""
COUNT = 6


def output(text: str, tokens: int = 3, stop: str = "stop") -> Any:
    """Usage is given, or inspect_ai would fetch a tokenizer to count with."""
    made = ModelOutput.from_content("mockllm/model", text, stop_reason=stop)
    made.usage = ModelUsage(input_tokens=10, output_tokens=tokens, total_tokens=10 + tokens)
    return made


@scorer(metrics={"length": [mean()], "vowels": [mean(), stderr()]})  # type: ignore[untyped-decorator, unused-ignore]
def shape() -> Any:
    async def score(state: Any, target: Any) -> Any:
        text = state.output.completion
        vowels = sum(letter in "aeiou" for letter in text)
        unknown = text.endswith("5") and state.epoch == 3
        return Score(value={"length": len(text), "vowels": math.nan if unknown else vowels})

    return score


@scorer(metrics=[mean()])  # type: ignore[untyped-decorator, unused-ignore]
def partial() -> Any:
    async def score(state: Any, target: Any) -> Any:
        text = state.output.completion
        return Score(value="P" if "about" in text else "C" if target.text in text else "N")

    return score


@solver  # type: ignore[untyped-decorator, unused-ignore]
def breaks() -> Any:
    async def solve(state: Any, generate: Any) -> Any:
        if state.sample_id == "s2" and state.epoch == 2:
            raise ValueError("the tool is gone")
        if state.sample_id == "s3":
            state.messages += [ChatMessageUser(content="again") for _ in range(5)]
        return state

    return solve


def picks() -> Any:
    samples = [
        Sample(
            input=f"Which letter comes at place {n + 1}?",
            choices=["a", "b", "c"],
            target="ABC"[n % 3],
            id=n + 1,
            metadata={"topic": "xy"[n % 2], "source": f"page {n // 2}"},
        )
        for n in range(COUNT)
    ]
    return Task(
        name="pick",
        version=2,
        dataset=MemoryDataset(samples, name="letters"),
        solver=multiple_choice(),
        scorer=choice(),
        config=GenerateConfig(temperature=0.0, max_tokens=16),
    )


def counting() -> Any:
    samples = [
        Sample(
            input=[ChatMessageSystem(content="Be short."), ChatMessageUser(content=f"Say {n}")],
            target=str(n),
            id=f"s{n}",
            metadata={"kind": "even" if n % 2 == 0 else "odd"},
        )
        for n in range(COUNT)
    ]
    return Task(
        name="counting",
        dataset=MemoryDataset(samples, name="numbers"),
        solver=[breaks(), generate()],
        scorer=[match(), includes(), shape(), partial()],
        epochs=Epochs(3, "mean"),
        message_limit=6,
        config=GenerateConfig(temperature=0.7, max_tokens=32, seed=1),
        fail_on_error=False,
    )


def run(model: str) -> None:
    folder = str(FOLDER / model)
    right = [n if n < RIGHT[model] else n + 1 for n in range(COUNT)]
    answers = [output(f"ANSWER: {'ABC'[n % 3]}") for n in right]
    mock = get_model("mockllm/model", custom_outputs=answers)
    evaluate(picks(), model=mock, log_dir=folder, display="none", max_samples=1)

    def say(turns: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
        number = int(turns[-1].text.split()[-1])
        good = number % 5 < (4 if model == "base" else 2)
        text = f"It is {number}" if good else f"It is about {number + 1}"
        return output(text, tokens=4 + number, stop="max_tokens" if number == 1 else "stop")

    mock = get_model("mockllm/model", custom_outputs=say)
    evaluate(counting(), model=mock, log_dir=folder, display="none", max_samples=1)


for each in ("base", "quantized", "other_forms"):
    shutil.rmtree(FOLDER / each, ignore_errors=True)
for each in RIGHT:
    run(each)
(log,) = (FOLDER / "base").glob("*_pick_*.eval")
(FOLDER / "other_forms").mkdir()
write_eval_log(read_eval_log(str(log)), str(FOLDER / "other_forms" / f"{log.stem}.json"))
convert_eval_logs_to_chunked(str(log), str(FOLDER / "other_forms"))
