"""What a person is told about a suite that is wrong: place, key, expectation, what came, the nearest valid name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suite.load import load_suite, parse_suite
from harness.suite.schema import suite_schema
from harness.suite.starter import write_starter

GOOD = """\
suite: s
model: ./m
variants:
  fp32: {baseline: true, dtype: float32}
  int8:
    quantize: {method: bitsandbytes, bits: 8}
tasks:
  ask:
    choice: {data: d.jsonl, prompt: "{{q}}", choices: [a, b], answer: "{{a}}"}
    slice_by: [topic]
  read:
    perplexity: {data: t.jsonl}
speed: {workloads: [{batch: 1, prompt_tokens: 64, new_tokens: 16}]}
gates:
  - {task: ask, metric: acc, max_drop: 0.02}
  - {task: read, metric: perplexity, max_increase: 2%}
"""


def said(text: str, name: str = "s.yaml") -> str:
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, Path(name))
    return str(caught.value)


def test_a_good_suite_loads() -> None:
    """Percentages are fractions, and the hash ignores comments and layout."""
    loaded = parse_suite(GOOD, Path("s.yaml"))
    assert loaded.suite.gates[1].limit == pytest.approx(0.02)
    assert loaded.suite.baseline == "fp32"
    assert loaded.suite.candidates == ("int8",)
    assert parse_suite("# a comment\n" + GOOD, Path("other.yaml")).hash == loaded.hash


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max_drop: 0.02", "max_drop: 3", "s.yaml:15:30: gates[0].max_drop: expected a fraction from 0 to 1, or noise, got 3; 3 percentage points is 0.03"),
        ("max_drop: 0.02", "max_drop: 2%", "s.yaml:15:30: gates[0].max_drop: expected a fraction from 0 to 1, or noise, got '2%'; for 2 percentage points write 0.02, for a relative loss max_relative_drop"),
        ("max_drop: 0.02", "max_dorp: 0.02", "gates[0].max_dorp: unknown key, did you mean max_drop?"),
        ("metric: acc,", "metric: ac,", "gates[0].metric: unknown metric 'ac', did you mean acc?; expected one of acc, acc_norm"),
        ("task: ask, metric", "task: aks, metric", "gates[0].task: unknown task 'aks', did you mean ask?; expected one of ask, read"),
        ("max_increase: 2%", "max_drop: 0.02", "gates[1].max_drop: does not fit perplexity; use one of max_increase, min_retained, max, min"),
        ("max_drop: 0.02", "max_drop: 0.02, variants: [int9]", "gates[0].variants: unknown variant 'int9', did you mean int8?; expected one of int8"),
        ("max_drop: 0.02", "max_drop: 0.02, slice: lang=de", "gates[0].slice: expected each or FIELD=VALUE with a field of topic, got 'lang=de'"),
        ("bits: 8", "bits: 5", "variants.int8.quantize.bits: expected 4 or 8, got 5"),
        ("method: bitsandbytes", "method: bitsnbytes", "variants.int8.quantize: unknown method 'bitsnbytes', did you mean bitsandbytes?; expected one of bitsandbytes, gptq"),
        ("method: bitsandbytes, bits: 8", "bits: 8", "variants.int8.quantize: expected a mapping with a method: one of bitsandbytes, gptq"),
        ("method: bitsandbytes, bits: 8", "method: gptq, bits: 5", "s.yaml:6:30: variants.int8.quantize.bits: expected 2, 3, 4 or 8, got 5"),
        ("method: bitsandbytes, bits: 8", "method: gptq, gruop_size: 32", "quantize.gruop_size: unknown key, did you mean group_size?"),
        ("method: bitsandbytes, bits: 8", "method: hqq, bits: 4, group_size: 48", "quantize.group_size: expected 8, 16, 32, 64, 128 or 256, got 48"),
        ("method: bitsandbytes, bits: 8", "method: gptq, tool: gptqmodel, damp_percent: 1.0", "quantize.damp_percent: expected a number below 1.0, got 1.0"),
        ("method: bitsandbytes, bits: 8", "method: gptq, tool: auto-gptq, damp_percent: 0.0", "quantize.damp_percent: expected a number above 0.0, got 0.0"),
        ("method: bitsandbytes, bits: 8", "method: gptq, damp_percent: 0", "quantize.damp_percent: expected a number above 0.0, got 0"),
        ("method: bitsandbytes, bits: 8", "method: gptq, desc_act: true", "desc_act belongs to tool: gptqmodel or auto-gptq"),
        ("method: bitsandbytes, bits: 8", "method: hqq, bits: 4, calibration: {data: c.jsonl}", "hqq takes no calibration data: leave calibration out"),
        ("method: bitsandbytes, bits: 8", "method: gguf, type: Q8_0, calibration: {data: c.jsonl}", "gguf Q8_0 takes no calibration data: leave calibration out"),
        ("method: bitsandbytes, bits: 8", "method: compressed-tensors, scheme: W8A16, calibration: {data: c.jsonl}", "compressed-tensors W8A16 takes no calibration data"),
        ("method: bitsandbytes, bits: 8", "method: compressed-tensors, scheme: FP8_DYNAMIC, calibration: {data: c.jsonl}", "compressed-tensors FP8_DYNAMIC takes no calibration data"),
        ("method: bitsandbytes, bits: 8", "method: compressed-tensors, scheme: W8A8", "quantize: compressed-tensors looks at text while it quantizes: add calibration"),
        ("quantize: {method: bitsandbytes, bits: 8}", "{quantize: {method: hqq, bits: 4}, gguf_file: m.gguf}", "gguf_file: quantize starts from a full-precision folder, not from a GGUF file"),
        ("method: bitsandbytes, bits: 8", "method: torchao, type: int3", "quantize.type: expected 'int8_weight_only'"),
        ("bits: 8", "bits: 8, double_quant: true", "type, double_quant and compute_dtype belong to bits: 4"),
        ("baseline: true, ", "", "variants: expected exactly one with baseline: true, got none"),
        ("dtype: float32", "dtype: float23", "did you mean float32?"),
        ("dtype: float32", "max_memory: {cpu: 2GB}", "variants.fp32.max_memory: limits what device_map: auto places"),
        ("dtype: float32", "device_map: {'': cpu}, max_memory: {cpu: 2GB}", "max_memory: limits what device_map: auto places"),
        ("dtype: float32", "device_map: auto, max_memory: {cpu: lots}", "max_memory: expected a size such as 20GiB or 500MB for cpu, got 'lots'"),
        ("dtype: float32", "device_map: auto, max_memory: {gpu: 2GB}", "max_memory: expected cpu or a GPU's number as key, got 'gpu'"),
        ("model: ./m\n", "", "model: required key missing"),
        ('prompt: "{{q}}", ', "", "tasks.ask.choice: expected exactly one of prompt and messages"),
        ("speed: {workloads: [{batch: 1, prompt_tokens: 64, new_tokens: 16}]}\n", "speed: {pairs: 10}\n", "speed.workloads: required key missing"),
        ("- {task: ask, metric: acc, max_drop: 0.02}", "- {metric: acc, max_drop: 0.02}", "gates[0]: acc needs a task: one of ask, read"),
        ("- {task: ask, metric: acc, max_drop: 0.02}", "- {task: ask, metric: weight_bytes, max_ratio: 0.5}", "gates[0].task: weight_bytes is measured once per variant, not per task"),
        ("max_drop: 0.02", "max_drop: 0.02, min: 0.5", "expected exactly one limit"),
        ("data: t.jsonl", "data: t.jsonl, window: 8, stride: 9", "tasks.read.perplexity.stride: expected at most the window of 8, got 9"),
        ("max_drop: 0.02", "min_retained: 95%", "gates[0].min_retained: needs `base:` in the suite"),
        ("max_drop: 0.02", "min_retained: 95", "gates[0].min_retained: expected a fraction from 0 to 1 or a percentage"),
        ("suite: s\n", "suite: s\nbase: [a]\n", "base: expected a folder, a hub id, or a mapping with path, got ['a']"),
        ("suite: s\n", "suite: s\nbase: {pth: b}\n", "base.pth: unknown key, did you mean path?"),
        ("suite: s\n", "suite: s\nnoise_floor: {items: 0}\n", "noise_floor.items: expected a number of at least 1, got 0"),
        ("suite: s\n", "suite: s\nnoise_floor: often\n", "noise_floor: expected true, false or a mapping with items"),
        ("suite: s\n", "suite: s\nbase: {path: b, script: {}}\n", "base.script: belongs to a baseline with engine: scripted"),
        ("suite: s\n", "suite: s\nsuite: t\n", "s.yaml:2:1: not valid YAML: found duplicate key"),
        ("tasks:\n", "tasks: [\n", "not valid YAML"),
        ("batch: 1", "batch: yes", "speed.workloads[0].batch: expected an integer, got 'yes'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(old: str, new: str, expected: str) -> None:
    """Each message holds place and key, what was expected and what came."""
    assert old in GOOD
    assert expected in said(GOOD.replace(old, new, 1))


def test_every_mistake_at_once() -> None:
    """Two mistakes are two messages, by line."""
    lines = said(GOOD.replace("bits: 8", "bits: 5").replace("max_drop: 0.02", "max_drop: 3")).splitlines()
    assert [line.split(":")[1] for line in lines] == ["6", "15"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("", "the file is empty; `quantgate init` writes a start"), ("- a\n", "expected a mapping"), ("\x00", "YAML")],
)
def test_files_that_are_no_suite(tmp_path: Path, content: str, expected: str) -> None:
    """Empty, a list, binary."""
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(SuiteError, match=expected):
        load_suite(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    """The name as it was typed."""
    with pytest.raises(SuiteError, match=r"nowhere\.yaml: no such suite file; `quantgate init MODEL`"):
        load_suite(Path("nowhere.yaml"))
    with pytest.raises(SuiteError, match="expected a file, got a folder"):
        load_suite(tmp_path)


def test_not_utf8(tmp_path: Path) -> None:
    """Another encoding is named with its place."""
    path = tmp_path / "s.yaml"
    path.write_bytes("suite: ä".encode("latin-1"))
    with pytest.raises(SuiteError, match="expected UTF-8 text"):
        load_suite(path)


def test_the_schema_agrees_with_the_models() -> None:
    """Draft-07 with its name, resolvable, with our keys, percentages where they are taken, and descriptions."""
    schema = suite_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    text = json.dumps(schema)
    assert "$defs" not in text
    gate = schema["definitions"]["Gate"]["properties"]
    assert gate["max_increase"]["anyOf"][0]["type"] == "string"
    assert "pattern" not in json.dumps(gate["max_drop"]["anyOf"])  # no percentage
    assert {"const": "noise", "type": "string"} in gate["max_drop"]["anyOf"]
    assert gate["max_drop"]["description"].startswith("Largest absolute loss")
    assert schema["required"] == ["suite", "variants"]
    assert schema["anyOf"][0] == {"required": ["model", "tasks"]}  # unless every variant is imported
    calibration = schema["definitions"]["Calibration"]["properties"]
    assert calibration["length"]["description"] == "Tokens per sample."
    assert "description" not in calibration["seed"]


def test_the_starter_is_a_valid_suite(tmp_path: Path) -> None:
    """`init` writes a suite that loads, with example data, and never writes over one."""
    model = tmp_path / "my model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "float16"}))
    out = tmp_path / "suites" / "s.yaml"
    written = write_starter(str(model), out)
    assert {path.name for path in written} == {"s.yaml", "intents.jsonl", "heldout.jsonl"}
    loaded = load_suite(out)
    assert (loaded.suite.suite, loaded.suite.variants["full"].dtype) == ("my-model", "float16")
    with pytest.raises(SuiteError, match="exists already"):
        write_starter(str(model), out)
