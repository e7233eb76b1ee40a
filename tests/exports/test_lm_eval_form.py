"""`show --format lm-eval`: what lm-eval 0.4.13 would have written, read by its own code."""

from __future__ import annotations

import json
import math
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from harness.commands.show import export
from harness.errors import RecordError, UsageError
from harness.imports.lm_eval_files import read
from harness.imports.shape import NoValue, Selection
from harness.records.items import Failed
from tests.exports.handmade import AWKWARD, saved_run

DATE = "2026-01-01T00-00-00.000000"


def exported(root: Path, task: str | None = None) -> Path:
    bench, _ = saved_run(root / "results")
    export("r1", bench.store.root, task=task, form="lm-eval", out=root / "out")
    return root / "out"


def lines(folder: Path, task: str) -> list[dict[str, Any]]:
    """Split as `str.splitlines` does, which also splits at characters that JSON may hold unescaped."""
    return [json.loads(line) for line in (folder / f"samples_{task}_{DATE}.jsonl").read_text("utf-8").splitlines()]


def test_lm_eval_writes_the_same_files(tmp_path: Path) -> None:
    """lm-eval's own tracker, given these items as its evaluator has them, writes line by line the same objects, the
    same task hashes, and files that its helpers find under the same names."""
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.utils import get_latest_filename, get_results_filenames, get_sample_results_filenames

    ours = exported(tmp_path) / "q4"
    tracker = EvaluationTracker(output_path=str(tmp_path / "theirs"))
    tracker.general_config_tracker.model_name_sanitized = "q4"
    samples = {task: [raw(line) for line in lines(ours, task)] for task in ("pick", "write", "docs")}
    tracker.save_results_aggregated(results={}, samples=samples)
    for task, given in samples.items():
        tracker.save_results_samples(task_name=task, samples=given)
    theirs = tmp_path / "theirs" / "q4"
    written = json.loads(next(theirs.glob("results_*.json")).read_text())
    found = [path.as_posix() for path in ours.iterdir()]
    results = get_latest_filename(get_results_filenames(found))
    assert json.loads(Path(results).read_text())["task_hashes"] == written["task_hashes"]
    assert len(get_sample_results_filenames(found)) == len(samples)
    for task in samples:
        text = next(theirs.glob(f"samples_{task}_*")).read_text("utf-8")
        again = [line.replace('["None"]', "[null]") for line in text.split("\n")[:-1]]
        assert [json.dumps(json.loads(line)) for line in again] == [json.dumps(line) for line in lines(ours, task)]


def raw(line: dict[str, Any]) -> dict[str, Any]:
    """A line as lm-eval's evaluator has it before it is written: hashes made by lm-eval's own function."""
    from lm_eval.utils import handle_non_serializable, hash_string

    arguments = [tuple(each.values()) for each in line["arguments"].values()]
    doc = json.dumps(line["doc"], indent=2, default=handle_non_serializable, ensure_ascii=False)
    texts = {"doc": doc, "prompt": arguments[0][0], "target": str(line["target"])}
    return {**line, "arguments": arguments, **{f"{name}_hash": hash_string(text) for name, text in texts.items()}}


def test_lm_eval_prints_its_table_of_it(tmp_path: Path) -> None:
    """`make_table` shows every metric under its filter with the standard error that lm-eval's `mean_stderr` gives."""
    from lm_eval.api.metrics import bits_per_byte, mean_stderr, weighted_perplexity
    from lm_eval.utils import make_table

    folder = exported(tmp_path) / "fp32"
    results = json.loads((folder / f"results_{DATE}.json").read_text())
    table = make_table(results)
    values = [line["acc"] for line in lines(folder, "pick")]
    assert results["results"]["pick"]["acc,none"] == sum(values) / len(values)
    assert results["results"]["pick"]["acc_stderr,none"] == pytest.approx(mean_stderr(values))
    documents = [tuple(line["bits_per_byte"]) for line in lines(folder, "docs")]
    docs = results["results"]["docs"]
    assert docs["bits_per_byte,none"] == pytest.approx(bits_per_byte(documents))
    assert docs["byte_perplexity,none"] == pytest.approx(weighted_perplexity(documents))
    for said in ("acc_norm", "strict", "edits", "byte_perplexity", "↓", "0.6667", "0.2108"):
        assert said in table


def test_lines_hold_what_is_stored_and_nothing_else(tmp_path: Path) -> None:
    """A choice's log-likelihoods as texts, the right option's place; of repeats all texts; a failed item is NaN under
    every filter; the answer behind a filter is null because it is not stored."""
    folder = exported(tmp_path) / "fp32"
    pick = lines(folder, "pick")[1]
    assert pick["target"] == "1"
    assert pick["resps"] == [[["-2.5", "False"]], [["-1.25", "True"]], [[str(-2.5 - 2 / 3), "False"]]]
    assert pick["filtered_resps"] == [each[0] for each in pick["resps"]]
    assert pick["arguments"]["gen_args_1"] == {"arg_0": f"Q1: {AWKWARD}", "arg_1": "no"}
    write = lines(folder, "write")
    assert [line["filter"] for line in write] == ["none"] * 4 + ["strict"] * 4
    assert [line["metrics"] for line in write] == [["exact_match", "edits"]] * 4 + [["exact_match"]] * 4
    assert write[0]["resps"] == [[f" 1{AWKWARD}"] * 2]
    assert (write[4]["filtered_resps"], write[0]["filtered_resps"]) == ([None], [f" 1{AWKWARD}"])
    assert (write[3]["resps"], write[3]["filtered_resps"], math.isnan(write[3]["exact_match"])) == ([[]], [None], True)
    results = json.loads((folder / f"results_{DATE}.json").read_text())
    assert math.isnan(results["results"]["write"]["exact_match,strict"])
    assert results["higher_is_better"]["write"] == {"exact_match": True, "edits": False}
    assert results["configs"]["write"]["filter_list"] == [{"name": "none"}, {"name": "strict"}]
    assert results["n-samples"]["write"] == {"original": 4, "effective": 4}


def test_our_own_reader_reads_it(tmp_path: Path) -> None:
    """Exported and imported again: the same values, answers and log-likelihoods, and a failed item without a value."""
    bench, _ = saved_run(tmp_path / "results")
    export("r1", bench.store.root, task=None, form="lm-eval", out=tmp_path / "out")
    for variant in ("fp32", "q4"):
        side = read(tmp_path / "out" / variant)
        for task in ("pick", "write"):
            records = list(bench.store.items(bench.key(variant, task)))
            for metric in side.tasks[task].metrics:
                assert metric.higher_is_better == (metric.name != "edits")
            groups = [
                list(group) for _, group in groupby(side.tasks[task].items(Selection()), key=lambda item: item.id)
            ]
            for group, record in zip(groups, records, strict=True):
                for name, value in group[0].values.items():
                    expected = record.metrics[name]
                    assert isinstance(value, NoValue) if isinstance(expected, Failed) else value == expected.value
                texts = [item.answer.text for item in group if item.answer is not None]
                assert texts == [answer.text for answer in record.answers]
                likelihoods = [option.log_likelihood for option in group[0].options]
                assert likelihoods == [option.log_likelihood for option in record.options]


def test_two_variants_can_be_joined(tmp_path: Path) -> None:
    """Baseline and candidate have the same hashes, item by item, and the values of the run."""
    folder = exported(tmp_path)
    hashes = ("doc_id", "doc_hash", "prompt_hash", "target_hash")
    for task in ("pick", "write", "docs"):
        ours, theirs = (lines(folder / variant, task) for variant in ("fp32", "q4"))
        assert [[line[name] for name in hashes] for line in ours] == [
            [line[name] for name in hashes] for line in theirs
        ]
        assert len({line["doc_hash"] for line in ours}) == len({line["doc_id"] for line in ours})
    assert [line["acc"] for line in lines(folder / "q4", "pick")] == [1, 1, 0, 0, 0, 0]


def test_the_data_sets_library_loads_it(tmp_path: Path) -> None:
    """As the Hub's viewer reads lm-eval's files."""
    import datasets

    folder = exported(tmp_path) / "fp32"
    for task, count in (("pick", 6), ("docs", 3)):
        file = str(folder / f"samples_{task}_{DATE}.jsonl")
        cache = str(tmp_path / "cache")
        assert datasets.load_dataset("json", data_files=file, split="train", cache_dir=cache).num_rows == count


def test_only_one_task_and_only_a_new_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--task` writes that task alone; a folder with something in it, a file, and a missing folder name are refused,
    and what was there stays."""
    out = exported(tmp_path, task="docs")
    assert sorted(path.name for path in (out / "q4").iterdir()) == [
        f"results_{DATE}.json",
        f"samples_docs_{DATE}.jsonl",
    ]
    assert f"q4: {out / 'q4'}, 1 task" in capsys.readouterr().out
    root = tmp_path / "results"
    before = sorted(out.rglob("*"))
    with pytest.raises(UsageError, match="expected a folder that is new or empty"):
        export("r1", root, task=None, form="lm-eval", out=out)
    with pytest.raises(UsageError, match="expected a folder that is new or empty"):
        export("r1", root, task=None, form="lm-eval", out=next((out / "q4").iterdir()))
    with pytest.raises(UsageError, match="name a new or empty one with --out FOLDER"):
        export("r1", root, task=None, form="lm-eval")
    with pytest.raises(UsageError, match="is printed; redirect it"):
        export("r1", root, task=None, form="csv", out=tmp_path / "x")
    with pytest.raises(UsageError, match="expected jsonl, csv, lm-eval, nel"):
        export("r1", root, task=None, form="xml")
    with pytest.raises(UsageError, match="--task u: run r1 has pick, write, docs"):
        export("r1", root, task="u", form="nel", out=tmp_path / "x")
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize("form", ["lm-eval", "nel"])
def test_nothing_is_left_of_a_damaged_store(tmp_path: Path, form: str) -> None:
    """A flipped byte in the last variant's records: no folder, nor a part of it beside it."""
    bench, _ = saved_run(tmp_path / "results")
    path = bench.store.chunks(bench.key("q4", "write")).path
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    (tmp_path / "here").mkdir()
    with pytest.raises(RecordError, match="checksum"):
        export("r1", bench.store.root, task=None, form=form, out=tmp_path / "here" / "out")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder's parent should be: the message names the folder."""
    bench, _ = saved_run(tmp_path / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="could not be written"):
        export("r1", bench.store.root, task=None, form="lm-eval", out=tmp_path / "file" / "out")
