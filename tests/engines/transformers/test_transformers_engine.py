"""The transformers engine on tiny random models, against plain loops over the model's own logits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.engines.foreign_errors import translated
from harness.engines.protocol import GenerateRequest, LoadSpec, OutOfMemoryError, ScoreRequest, Window
from harness.engines.transformers import transformers_engine as engine
from harness.engines.transformers.loading import loading_threads
from harness.errors import EngineError
from tests.engines.tiny import Make, plain_model

REQUESTS = [
    ScoreRequest(context=(0, 5, 9, 12), continuations=((7, 8), (11,), (30, 31, 32, 33))),
    ScoreRequest(context=(4,), continuations=((50, 51), (60,))),
    ScoreRequest(context=tuple(range(3, 23)), continuations=((70,), (71, 72, 73))),
]


def spec(path: Path, **changes: Any) -> LoadSpec:
    return LoadSpec(**{"variant": "v", "engine": "transformers", "path": str(path), "dtype": "float32", **changes})


def plain(path: Path, tokens: list[int]) -> Any:
    """float32 log-probabilities after every token by the model's own forward pass, [tokens, vocabulary]."""
    model = plain_model(path)
    with torch.inference_mode():
        return torch.log_softmax(model(input_ids=torch.tensor([tokens])).logits[0].float(), -1)


def test_windows_equal_a_plain_loop_and_diverge_not_from_themselves(make_model: Make, tmp_path: Path) -> None:
    """Log-probabilities of scored tokens; KL from the model's own stored states is nothing."""
    path = make_model("gemma2")
    loaded = engine.load(spec(path))
    windows = [Window(tokens=(0, *range(10, 30)), scored_from=1), Window(tokens=tuple(range(5, 25)), scored_from=8)]
    states = str(tmp_path / "states" / "000000.npy")
    scores = loaded.score_windows(windows, states_out=states)
    for window, score in zip(windows, scores, strict=True):
        log_p = plain(path, list(window.tokens[:-1]))
        expected = [float(log_p[n - 1, window.tokens[n]]) for n in range(window.scored_from, len(window.tokens))]
        assert score.log_probs == pytest.approx(expected, abs=1e-4)
    again = loaded.score_windows(windows, states_in=states)
    assert max(value for score in again for value in score.kl or ()) < 1e-4


def test_divergence_equals_whole_logits(make_model: Make, tmp_path: Path) -> None:
    """KL, EAR, most likely tokens and change of the true token's probability between two different models."""

    def shake(model: Any) -> None:
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))

    base, other = make_model("llama"), make_model("llama", shake, "other")
    window = Window(tokens=tuple(range(20, 60)), scored_from=1)
    states = str(tmp_path / "states" / "0.npy")
    engine.load(spec(base)).score_windows([window], states_out=states)
    score = engine.load(spec(other)).score_windows([window], states_in=states)[0]
    log_p, log_q = plain(base, list(window.tokens[:-1])), plain(other, list(window.tokens[:-1]))
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).tolist()
    assert score.kl == pytest.approx(kl, rel=0.01, abs=1e-4)
    assert score.top1_agree == tuple((log_p.argmax(-1) == log_q.argmax(-1)).tolist())
    true = torch.tensor(window.tokens[1:])[:, None]
    delta = (log_q.gather(-1, true).exp() - log_p.gather(-1, true).exp())[:, 0].tolist()
    assert score.delta_p == pytest.approx(delta, abs=1e-3)
    assert score.ear == pytest.approx(torch.minimum(log_p.exp(), log_q.exp()).sum(-1).tolist(), abs=1e-3)
    assert (score.baseline_top, score.top) == tuple(tuple(each.argmax(-1).tolist()) for each in (log_p, log_q))


def test_generation_in_a_batch_equals_one_by_one(make_model: Make) -> None:
    """Left padding changes no answer, and every answer ends at its limit or at the end of text."""
    loaded = engine.load(spec(make_model("llama")))
    requests = [GenerateRequest(prompt=tuple(range(3, 3 + size)), max_new_tokens=6) for size in (2, 9, 5)]
    together = loaded.generate(requests)
    assert together == [loaded.generate([request])[0] for request in requests]
    for answer in together:
        assert (len(answer.tokens) == 6) == (answer.finish == "length")


def test_generation_stops_at_a_stop_string(make_model: Make) -> None:
    """The text ends before the stop string and says that it stopped."""
    loaded = engine.load(spec(make_model("llama")))
    free = loaded.generate([GenerateRequest(prompt=(5, 6, 7), max_new_tokens=8)])[0]
    stop = free.text.split()[3]
    cut = loaded.generate([GenerateRequest(prompt=(5, 6, 7), max_new_tokens=8, until=(stop,))])[0]
    assert cut.text == free.text.split(stop)[0]
    assert cut.finish == "stop"


def test_facts_of_full_precision(make_model: Make) -> None:
    """14 linear layers, none quantized, 32 bits per weight, bytes as they are."""
    facts = engine.load(spec(make_model("llama"))).facts()
    assert (facts.linear_modules, facts.quantized_modules, facts.bits_per_weight) == (14, 0, 32.0)
    assert facts.weight_bytes is not None
    assert 4 * facts.parameters <= facts.weight_bytes < 4 * facts.parameters + 2000
    assert facts.non_finite == ()


@pytest.mark.parametrize(
    ("block", "kind", "low", "high"),
    [
        ({"method": "bitsandbytes", "bits": 8}, "Linear8bitLt", 8.0, 9.0),
        ({"method": "bitsandbytes", "bits": 4, "type": "nf4"}, "Linear4bit", 4.0, 6.0),
        ({"method": "bitsandbytes", "bits": 4, "type": "fp4"}, "Linear4bit", 4.0, 6.0),
        ({"method": "bitsandbytes", "bits": 4, "double_quant": True, "compute_dtype": "bfloat16"}, "Linear4bit", 4, 6),
    ],
)
def test_bitsandbytes_is_really_loaded(
    make_model: Make, block: dict[str, Any], kind: str, low: float, high: float
) -> None:
    """Every linear layer is quantized, holds about the bits claimed, and scores finite numbers."""
    loaded = engine.load(spec(make_model("llama"), quantize=block))
    facts = loaded.facts()
    assert (facts.quantized_modules, facts.quantized_kinds) == (14, {kind: 14})
    assert facts.bits_per_weight is not None
    assert low <= facts.bits_per_weight <= high
    scores = loaded.score(REQUESTS)
    assert all(math.isfinite(value) for answer in scores for each in answer for value in each.log_probs)


def test_half_precision(make_model: Make) -> None:
    """bfloat16 takes half the bytes and says so."""
    facts = engine.load(spec(make_model("llama"), dtype="bfloat16")).facts()
    assert (facts.dtype, facts.bits_per_weight) == ("bfloat16", 16.0)


@pytest.mark.parametrize("beside", [False, True])
def test_a_model_that_loads_beside_another_leaves_it_half_of_the_cores(make_model: Make, beside: bool) -> None:
    """Afterwards it scores on all of them."""
    usual = torch.get_num_threads()
    try:
        with loading_threads(spec(Path("model"), threads=2, beside=beside)):
            assert torch.get_num_threads() == (1 if beside else 2)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        engine.load(spec(make_model(), threads=2, beside=beside))
        assert torch.get_num_threads() == 2
        with pytest.raises(EngineError):
            engine.load(spec(Path("nowhere"), threads=1, beside=beside))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(usual)


def test_nan_weights_are_found(make_model: Make) -> None:
    """A single NaN in a single tensor is named."""

    def spoil(model: Any) -> None:
        model.model.layers[1].mlp.up_proj.weight.data[3, 4] = float("nan")

    facts = engine.load(spec(make_model("llama", spoil))).facts()
    assert facts.non_finite == ("model.layers.1.mlp.up_proj.weight",)


def test_equal_weights_have_equal_digests(make_model: Make) -> None:
    """The digest tells models apart and recognises one and the same."""
    path = make_model("llama")
    first, second = engine.load(spec(path)).facts(), engine.load(spec(path)).facts()
    other = engine.load(spec(path, dtype="bfloat16")).facts()
    assert first.weights_digest == second.weights_digest != other.weights_digest


def test_pickled_weights_are_refused(make_model: Make) -> None:
    """A folder with pickles only is refused with what to do, and taken when the suite allows it."""
    from safetensors.torch import load_file

    path = make_model("llama")
    tensors = load_file(path / "model.safetensors")
    torch.save(tensors, path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=r"pickled .*allow_pickle: true"):
        engine.load(spec(path))
    assert engine.load(spec(path, allow_pickle=True)).facts().linear_modules == 14


def test_damaged_weights_are_named(make_model: Make) -> None:
    """A cut-off safetensors file is an error that says so."""
    path = make_model("llama")
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(EngineError, match=str(path)):
        engine.load(spec(path))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    """No config.json: not a model folder."""
    with pytest.raises(EngineError, match=r"no config\.json"):
        engine.load(spec(tmp_path))


@pytest.mark.parametrize("direct", [True, False])
def test_adapters(make_model: Make, tmp_path: Path, direct: bool) -> None:
    """A PEFT adapter on its base, and an adapter folder that names its base, score alike and unlike the base."""
    import peft
    import transformers

    path = make_model("llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(path)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folder = tmp_path / "adapter"
    adapted.save_pretrained(str(folder))
    described = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**described, "base_model_name_or_path": str(path)}))
    own = spec(folder, tokenizer=str(path)) if direct else spec(path, adapter=str(folder))
    loaded = engine.load(own)
    assert loaded.facts().linear_modules == 14
    with torch.inference_mode():
        ids = torch.tensor([[0, 5, 9, 12]])
        expected = float(torch.log_softmax(adapted(input_ids=ids).logits[0, -1].float(), -1)[11])
    got = loaded.score(REQUESTS[:1])[0][1].log_probs[0]
    assert got == pytest.approx(expected, abs=1e-4)
    assert got != pytest.approx(engine.load(spec(path)).score(REQUESTS[:1])[0][1].log_probs[0], abs=1e-4)


def test_a_quantized_checkpoint_is_not_quantized_again(make_model: Make) -> None:
    """A folder that names a method of its own refuses another one, by name."""
    path = make_model("llama")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(EngineError, match=r"already quantized \(gptq\)"):
        engine.load(spec(path, quantize={"method": "bitsandbytes", "bits": 8}))


def test_weights_that_a_checkpoint_lacks_are_an_error(make_model: Make) -> None:
    """transformers would fill them with random numbers."""
    from safetensors.torch import load_file, save_file

    path = make_model("llama")
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"missing from the checkpoint, such as model\.layers\.1\.mlp\.up_proj"):
        engine.load(spec(path))


@pytest.mark.parametrize(
    ("block", "kind", "low", "high"),
    [
        ({"method": "torchao", "type": "int8_weight_only"}, "Int8Tensor", 8, 10),
        ({"method": "quanto", "weights": "int8"}, "QLinear", 8, 10),
        ({"method": "hqq", "bits": 4, "group_size": 64, "axis": 1}, "HQQLinear", 4, 6),
    ],
)
def test_other_methods_are_really_loaded(
    make_model: Make, block: dict[str, Any], kind: str, low: float, high: float
) -> None:
    """Weights in a tensor class or a module of a library's own are found and counted."""
    facts = engine.load(spec(make_model("llama"), quantize=block)).facts()
    assert (facts.quantized_modules, facts.quantized_kinds) == (14, {kind: 14})
    assert facts.bits_per_weight is not None
    assert low <= facts.bits_per_weight <= high


def test_placement_is_handed_through(make_model: Make) -> None:
    """A device map and memory limits reach transformers, and the facts say where the layers are."""
    path = make_model("llama")
    placed = engine.load(spec(path, device_map={"": "cpu"}, max_memory={"cpu": "4GiB"}))
    assert placed.facts().device == "cpu"
    with pytest.raises(EngineError, match=r"(?i)device"):
        engine.load(spec(path, device_map="nowhere"))


@pytest.mark.parametrize(
    "says",
    [
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
        "could not create a primitive",
    ],
)
def test_what_torch_says_of_memory_that_is_used_up(says: str) -> None:
    """The last is oneDNN's."""
    with pytest.raises(OutOfMemoryError), translated("model"):
        raise RuntimeError(says)


def test_a_product_that_cannot_be_computed_is_no_lack_of_memory() -> None:
    """oneDNN says it in nearly the same words."""
    with pytest.raises(EngineError, match="descriptor"), translated("model"):
        raise RuntimeError("could not create a primitive descriptor for the matmul primitive")
