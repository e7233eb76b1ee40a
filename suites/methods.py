"""Every quantization method on SmolLM2, measured with quantgate itself: writes docs/methods.md.

    make methods                       # needs the demo model and benchmark samples, see --data
    python suites/methods.py --only hqq --only gptq

Text: the beginning of 20 WikiText-2 documents. Choice: 200 BLiMP pairs. Calibration: paragraphs of Moby Dick. Nothing
of the data is kept in the repository. What was measured before is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from others import OTHERS
from rich.console import Console

import harness
from harness.methods import METHODS, filled
from harness.records.evaluation_manifest import EngineFacts
from harness.records.run_manifest import RunManifest
from harness.records.verdict import CandidateVerdict
from harness.runner.progress import reporter
from harness.runner.run_options import RunOptions
from harness.runner.schedule import run_suite
from harness.suite.load import load_suite
from harness.worker.versions import gpu_count

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
PLACE = ROOT / ".cache" / "methods"
DATA = ROOT.parent / "shared" / "data"
DOCUMENTS, CHARACTERS, PAIRS_A_FILE = 20, 2000, 25
SHORT = {"bits": "b", "group_size": "g"}
"""How parameters are written in the names of variants."""
PRECISIONS = ("bfloat16", "float16")
BASE: Mapping[str, Any] = {"float32": {"baseline": True, "dtype": "float32"}}
FURTHER: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "gptq": (
        {"bits": 4, "group_size": 32, "sym": False},
        {"bits": 4, "group_size": 32, "damp_percent": 0.1, "tool": "gptqmodel"},
    ),
    "awq": ({"group_size": 32, "zero_point": False},),
    "hqq": ({"bits": 4, "group_size": 32}, {"bits": 4, "axis": 0}),
}
"""Parameters that the methods' own examples, which CI runs on a tiny model, leave alone."""


def write_data(data: Path) -> None:
    """The three data files of the suite, cut from the public samples."""
    PLACE.mkdir(parents=True, exist_ok=True)
    documents: list[list[str]] = []
    for line in (data / "wikitext-2" / "valid.txt").read_text().splitlines():
        if line.startswith(" = ") and not line.startswith(" = ="):
            documents.append([])
        if documents:
            documents[-1].append(line)
    texts = [{"text": "\n".join(lines)[:CHARACTERS]} for lines in documents if len("\n".join(lines)) > CHARACTERS]
    write_rows("wikitext.jsonl", texts[:DOCUMENTS])
    pairs = []
    for file in sorted((data / "blimp").glob("*.jsonl")):
        for line in file.read_text().splitlines()[:PAIRS_A_FILE]:
            row = json.loads(line)
            pairs.append({key: row[key] for key in ("sentence_good", "sentence_bad", "linguistics_term")})
    write_rows("blimp.jsonl", pairs)
    prose = (data / "moby-dick" / "moby-dick.txt").read_text().split("\n\n")
    write_rows("calibration.jsonl", [{"text": " ".join(each.split())} for each in prose if len(each) > 200][:600])


def write_rows(name: str, rows: list[dict[str, Any]]) -> None:
    (PLACE / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def blocks(only: list[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Variant name and `quantize` block of every example: each method's first, then each one's second, and so on."""
    found = []
    for name, method in METHODS.items():
        examples = (*method.examples, *FURTHER.get(name, ())) if not only or name in only else ()
        found += [(place, ".".join([name, *map(_word, block.items())]), block) for place, block in enumerate(examples)]
    return [(name, block) for _, name, block in sorted(found, key=lambda each: each[0])]


def _word(parameter: tuple[str, Any]) -> str:
    """A parameter in a variant's name: `b4`, `nf4`, `desc-act`, `no-sym`, `damp-percent0.1`."""
    key, value = parameter
    short = SHORT.get(key, key.replace("_", "-"))
    if isinstance(value, bool):
        return short if value else f"no-{short}"
    return value if isinstance(value, str) else f"{short}{value}"


def write_suite(only: list[str], skip: list[str]) -> Path:
    variants: dict[str, Any] = dict(BASE)
    if not only:
        variants.update({name: {"dtype": name} for name in PRECISIONS})
    for name, block in blocks(only):
        method = METHODS[name.partition(".")[0]]
        if name in skip or method.not_here(filled(method.name, block), gpu_count() > 0) is not None:
            continue
        quantize: dict[str, Any] = {"method": method.name, **block}
        if method.tools and method.calibrates(filled(method.name, block)):
            small = block.get("tool") == "autoawq"  # its search over a full sample takes most of an hour here
            quantize["calibration"] = {
                "data": "calibration.jsonl",
                "samples": 16 if small else 64,
                "length": 128 if small else 256,
            }
        variants[name] = {"quantize": quantize} if method.tools else {"dtype": "float32", "quantize": quantize}
    return write("methods.yaml", "methods", variants)


def write(file: str, name: str, variants: Mapping[str, Any]) -> Path:
    suite: dict[str, Any] = {
        "suite": name,
        "model": str(MODEL),
        "variants": variants,
        "tasks": {
            "wikitext": {"perplexity": {"data": "wikitext.jsonl", "window": 1024}},
            "blimp": {
                "choice": {
                    "data": "blimp.jsonl",
                    "prompt": "",
                    "delimiter": "",
                    "choices": ["{{sentence_good}}", "{{sentence_bad}}"],
                    "answer": 0,
                },
                "slice_by": ["linguistics_term"],
            },
        },
        "speed": {"workloads": [{"batch": 1, "prompt_tokens": 64, "new_tokens": 8}], "pairs": 6},
    }
    if any("url" in each for each in variants.values()):
        del suite["tasks"]["wikitext"]  # a server shows no whole distribution
    path = PLACE / file
    path.write_text(json.dumps(suite, indent=1))
    return path


NOTES = """## What to know before reading it

- LLM.int8 picks its outlier columns over a whole batch: one sequence scored alone and in company differed by up to
  1 nat on random text. Its flips are partly that.
- compressed-tensors checkpoints are decompressed by transformers for computing. Their quality is measured; serve them
  with vLLM for their speed.
- torchao keeps 8da4w's 4-bit values in bytes on a CPU: the quality of 4 bits, the memory of 8.
- GPTQ with one group a row, and of 2, 3 and 8 bits, runs on gptqmodel's plain torch kernel here, which unpacks each
  layer and multiplies in the checkpoint's float16; torch's packed 4-bit product takes groups of 32 to 256 only.
- SmolLM2's rows of 576 values are no multiple of 256, so llama.cpp stores most of its K-quants as Q5_0 or Q8_0: the
  last column says what is really in the file. A NaN in such a file does not show in llama.cpp's answers; quantgate
  reads the scales.
- autoawq was paused for other work while it made its checkpoint; one of the 30 layers takes it 35 s of idle cores.
  As it comes, autoawq 0.2.9 spoils the weights on a CPU (PPL ratio 46,562 here): after every scale it tries, it goes
  back to a copy that is none. The recipe gives it a copy.
- `folder`, `by-auto-gptq` and `by-transformers` are the checkpoints of other rows, read by another library: auto-gptq's
  answers are gptqmodel's. The rows of `adapter` are one LoRA adapter, against the same adapter on the float32 base. The
  rows of `served` are llama.cpp's server on loopback: no weights and no whole distributions to be seen, only answers.
- auto-round computes GPTQ and AWQ alike and lays them out differently: `gptq.b4.g32.no-sym` is `awq.g32`, and
  `awq.g32.no-zero-point` is `gptq.b4.g32`. Symmetric is the better one here: the weights of a layer are off by 7.5 %,
  asymmetric ones by 8.1 %. hqq's zero point is not an integer and meets this model's grid exactly in groups of 32.
- float16 is slow on a CPU without float16 arithmetic; prefill and decode above are torch's own. Scoring computes such
  products in float32 and rounds them: 512 tokens of gptq.b4.g-1 take 2 s instead of 42. In `dtype: bfloat16` that
  checkpoint's prefill of 64 tokens takes 0.36 s instead of 5.5, a decoding step the same 0.3 s.
"""
COLUMNS = (
    "variant", "PPL ratio", "KLD mean", "KLD p99", "top-1", "flips", "weights MB", "bits/weight", "peak MB", "prefill",
    "decode", "made in s", "loaded by",
)  # fmt: skip


def rows_of(manifest: RunManifest, results: Path) -> Iterator[tuple[str, ...]]:
    """A row a variant; what could not be run says why in one cell."""
    for candidate in harness.gate(manifest, results=results, save=False).candidates:
        run = manifest.variants[candidate.variant]
        if candidate.facts is None or run.failure is not None:
            cause = (run.failure or "not loaded").replace(f"{ROOT}/", "").splitlines()
            yield candidate.variant, f"{cause[0]} {cause[-1].strip(' |') if len(cause) > 1 else ''}".strip()
        else:
            yield row_of(candidate, candidate.facts, run.artifact)


def row_of(candidate: CandidateVerdict, facts: EngineFacts, artifact: Mapping[str, Any] | None) -> tuple[str, ...]:
    measures = {each.metric: each for each in candidate.measures}
    speed = {each.metric: each.ratio for each in candidate.speed}
    flips = measures["acc"]
    peak = candidate.memory.process_peak_inference_bytes if candidate.memory is not None else None

    def value(metric: str, digits: int) -> str:
        found = measures.get(metric)
        return "–" if found is None or found.candidate is None else f"{found.candidate:.{digits}f}"

    def ratio(metric: str) -> str:
        found = speed.get(metric)
        return "–" if found is None or facts.dequantised else f"{found:.2f}"

    rise = measures["perplexity"].change if "perplexity" in measures else None
    return (
        candidate.variant,
        "–" if rise is None else f"{1 + rise:.4f}",
        value("kl_mean", 4),
        value("kl_p99", 3),
        value("top1_agreement", 3),
        f"{(flips.right_to_wrong or 0) + (flips.wrong_to_right or 0)}/{flips.n}",
        "–" if facts.weight_bytes is None else f"{facts.weight_bytes / 1e6:.0f}",
        "–" if facts.bits_per_weight is None else f"{facts.bits_per_weight:.2f}",
        "–" if peak is None else f"{peak / 1e6:.0f}",
        ratio("prefill_tokens_per_s"),
        ratio("decode_tokens_per_s"),
        "–" if artifact is None else f"{artifact['seconds']:.0f}",
        ", ".join(f"{count} {kind}" for kind, count in facts.quantized_kinds.items())
        or ("–" if facts.engine == "served" else facts.dtype),
    )


def _by_method(row: tuple[str, ...]) -> int:
    """Plain precisions first, then the methods in the order of their table."""
    method = row[0].partition(".")[0]
    return list(METHODS).index(method) + 1 if method in METHODS else 0


def page(rows: list[tuple[str, ...]], manifest: RunManifest) -> str:
    """docs/methods.md."""
    host = manifest.host
    whole = [row for row in rows if len(row) == len(COLUMNS)]
    text = [
        "# Methods, measured",
        "",
        "Written by `make methods`, with quantgate itself. Model: SmolLM2-135M-Instruct, whose weights come out of a\n"
        "4-bit file (Q4_1): formats with blocks of 32 on a similar grid look better on it than they would elsewhere.\n"
        f"Text: the first {CHARACTERS} characters of {DOCUMENTS} WikiText-2 documents; choice: {8 * PAIRS_A_FILE}\n"
        "BLiMP pairs; speed: 1 × 64 + 8 tokens, 6 ABBA pairs. Calibration: 64 samples of 256 tokens of Moby Dick\n"
        "(16 of 128 for autoawq).",
        "",
        f"Machine: {host.processor}, {host.cores} cores, {host.memory_bytes / 2**30:.0f} GiB, "
        f"{', '.join(host.accelerators) or 'no GPU'}; {host.system}; Python {host.python}. It was shared while this\n"
        "ran: speeds are ratios to float32 timed in adjacent pairs, and still rough.",
        "",
        "PPL ratio, KLD (nats) and top-1 agreement are against float32. Flips: BLiMP items whose answer became right\n"
        "or wrong. Bits per weight are resident bits of the linear layers with scales. Prefill and decode: tokens/s\n"
        "over float32's; a dash where weights are decompressed for computing, so that speed is not the format's.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in sorted(whole, key=_by_method)),
        "",
        "",
    ]
    return "\n".join(text)


def not_here(rows: list[tuple[str, ...]], only: list[str], skip: list[str]) -> list[str]:
    """A line for every row that did not run, with its reason."""
    lines = [f"- `{row[0]}`: {row[1]}".replace(f"{ROOT}/", "") for row in rows if len(row) != len(COLUMNS)]
    for name, block in blocks(only):
        method = METHODS[name.partition(".")[0]]
        why = method.not_here(filled(method.name, block), gpu_count() > 0)
        if name in skip:
            lines.append(f"- `{name}`: left out with --skip")
        elif why is not None:
            lines.append(f"- `{name}`: not here: {why}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with wikitext-2, blimp and moby-dick")
    parser.add_argument(
        "--only", action="append", default=[], help=f"a method, {', '.join(OTHERS)} (repeatable); prints"
    )
    parser.add_argument("--skip", action="append", default=[], help="a variant to leave out (repeatable)")
    given = parser.parse_args()
    if not (given.data / "wikitext-2" / "valid.txt").is_file():
        sys.exit(f"{given.data}: no wikitext-2/valid.txt here; name the folder of benchmark samples with --data")
    if not (MODEL / "model.safetensors").is_file():
        sys.exit("the demo model is missing: make model")
    write_data(given.data)
    loaded = load_suite(write_suite(given.only, given.skip))
    results = PLACE / "results"
    options = RunOptions(results=results, artifacts=PLACE / "artifacts", offline=True)
    with reporter(Console(stderr=True)) as progress:
        manifest = run_suite(loaded, options, progress)
        rows = list(rows_of(manifest, results))
        for name in [each for each in OTHERS if not given.only or each in given.only]:
            with OTHERS[name](PLACE, MODEL) as variants:
                if variants:
                    own = any(each.get("baseline") for each in variants.values())
                    suite = load_suite(write(f"{name}.yaml", name, variants if own else {**BASE, **variants}))
                    rows += rows_of(run_suite(suite, options, progress), results)
    text = (
        page(rows, manifest)
        + NOTES
        + "\n".join(["", "## Not on this machine", "", *not_here(rows, given.only, given.skip), ""])
    )
    if given.only:
        print(text)
    else:
        (ROOT / "docs" / "methods.md").write_text(text)
        print("wrote docs/methods.md")


if __name__ == "__main__":
    main()
