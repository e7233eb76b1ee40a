"""Quantized means the share of all parameters: experts, embeddings and heads are looked at, claims are held to it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.engines.transformers import transformers_engine as engine
from harness.errors import EngineError
from harness.gates.quantized_share import other_weights_check, quantized_check, same_weights
from harness.methods import filled
from harness.records.evaluation_manifest import EngineFacts
from harness.records.findings import Check
from harness.records.run_manifest import VariantRun
from harness.suite.variant_model import Variant
from tests.engines.tiny import tiny_config
from tests.faults.checkpoints import altered, configured, load, save_llama, save_model, spec

WIDE: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128}
NF4 = {"method": "bitsandbytes", "bits": 4}
EIGHT: dict[str, Any] = {"method": "bitsandbytes", "bits": 8}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("base") / "llama", **WIDE)


@pytest.fixture(scope="module")
def mixtral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight experts a layer, most of the weights."""
    config = transformers.MixtralConfig(
        **{**dict(tiny_config("llama").to_dict()), "num_local_experts": 8, "model_type": "mixtral"}
    )
    return save_model(tmp_path_factory.mktemp("mixtral") / "m", config)


def facts_of(folder: Path, **changes: Any) -> EngineFacts:
    return EngineFacts.model_validate(asdict(load(folder, **changes).facts()))


def check(facts: EngineFacts, baseline: EngineFacts, quantize: dict[str, Any] | None = None) -> Check:
    """The gate's check of a variant that claims to be quantized."""
    run = VariantRun(variant="v", facts=facts, must_be_quantized=True)
    named = Variant.model_validate({"path": "p"} if quantize is None else {"quantize": quantize})
    return quantized_check(run, facts, named, baseline)


@pytest.mark.fault("M6", "nf4 passes over the fused experts of a Mixtral", "share of parameters and bytes")
@pytest.mark.parametrize(
    "block",
    [
        NF4,
        {"method": "torchao", "type": "int8_weight_only"},
        {"method": "quanto", "weights": "int8"},
        {"method": "hqq", "bits": 4, "group_size": 64},
    ],
    ids=["nf4", "torchao", "quanto", "hqq"],
)
def test_experts_in_full_precision_are_no_quantized_model(mixtral: Path, block: dict[str, Any]) -> None:
    """8 of 8 linear layers are quantized, and most of the model is not."""
    baseline = facts_of(mixtral)
    facts = facts_of(mixtral, quantize=filled(str(block["method"]), block))
    assert facts.parameters == baseline.parameters
    assert (facts.quantized_modules, facts.linear_modules) == (8, 12)
    found = check(facts, baseline, block)
    assert (found.held, found.blocks) == (False, True)
    assert "only 5.88 % of the weights of its linear layers and experts are (8 of 12: 8 " in found.says
    assert "% of all its parameters; " in found.says
    assert "× the baseline's bytes" in found.says


@pytest.mark.fault("F9", "a checkpoint claims nf4 and has one of 14 linear layers quantized", "share of parameters")
def test_one_layer_of_fourteen_is_no_quantized_model(llama: Path, tmp_path: Path) -> None:
    """Its own configuration excepts the others, which makes it no quantized model."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "layers.1.mlp.up_proj", "lm_head"]
    folder = saved(llama, tmp_path / "one", names)
    facts = facts_of(folder)
    assert (facts.quantized_modules, facts.linear_modules) == (1, 14)
    found = check(facts, facts_of(llama))
    assert not found.held
    assert "1 of 14: 1 Linear4bit" in found.says
    assert "0.9" in found.says  # bytes beside the baseline's
    run = VariantRun(variant="v", facts=facts)
    for more, held in (({"dtype": "bfloat16"}, False), ({"adapter": "a"}, False), ({"quantized": False}, True)):
        claims = Variant.model_validate({"path": "p", **more})
        assert quantized_check(run, facts, claims, facts_of(llama)).held is held


@pytest.mark.fault("M27", "pre-quantized folders, two layers of 14 excepted", "loaded as they are")
def test_what_a_configuration_excepts_is_no_fault(llama: Path, tmp_path: Path) -> None:
    """12 of 14 modules: the share is large, and the bits are held against what is not excepted."""
    facts = facts_of(saved(llama, tmp_path / "twelve", ["down_proj", "lm_head"]))
    assert (facts.quantized_modules, facts.claimed_bits) == (12, 4.0)
    assert facts.bits_per_weight is not None
    assert facts.bits_per_weight > 8
    assert check(facts, facts_of(llama)).held


def test_what_nobody_excepts_is_a_fault(llama: Path, tmp_path: Path) -> None:
    """The same weights, and a configuration that does not name the two: 4 bits are claimed, and more are there."""
    facts = facts_of(saved(llama, tmp_path / "twelve", ["down_proj", "lm_head"]))
    found = check(facts.model_copy(update={"excepted_parameters": 0}), facts_of(llama))
    assert not found.held
    assert "its config.json claims 4 bits, but its linear modules take" in found.says


def saved(llama: Path, folder: Path, skipped: list[str]) -> Path:
    """A folder of nf4 that names modules it leaves."""
    shutil.copytree(llama, folder)
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=skipped
    )
    transformers.AutoModelForCausalLM.from_pretrained(
        llama, quantization_config=config, dtype=torch.float32
    ).save_pretrained(folder)
    return folder


def test_large_embeddings_are_told_and_no_fault(tmp_path: Path) -> None:
    """Two thirds of a small model can be embeddings: the sentence says what share of all is quantized."""
    folder = save_llama(tmp_path / "m", hidden_size=64, intermediate_size=64, vocab_size=200, num_hidden_layers=1)
    facts = facts_of(folder, quantize=NF4)
    assert facts.packed_parameters is not None
    assert facts.packed_parameters < 0.5 * facts.parameters
    found = check(facts, facts_of(folder), NF4)
    assert found.held
    assert "% of all its parameters; " in found.says


@pytest.mark.parametrize("block", [NF4, EIGHT], ids=["nf4", "int8"])
def test_tied_parameters_count_once(block: dict[str, Any], tmp_path: Path) -> None:
    """As many parameters as in full precision, packed or not."""
    folder = save_llama(tmp_path / "tied", tie_word_embeddings=True, **WIDE)
    facts, baseline = facts_of(folder, quantize=block), facts_of(folder)
    assert facts.parameters == baseline.parameters
    assert facts.matrix_parameters == facts.packed_matrix_parameters == baseline.matrix_parameters
    assert baseline.packed_parameters == 0


@pytest.mark.fault("T35", "three rows of the output layer are changed", "a digest over every value")
def test_a_digest_covers_every_value(llama: Path, tmp_path: Path) -> None:
    """One value in one row of 200 makes it another model; a copy is the same."""

    def touch(found: dict[str, Any]) -> None:
        found["lm_head.weight"][137, 41] += 1e-3

    one = facts_of(llama)
    other = facts_of(altered(llama, tmp_path / "touched", touch))
    copy = facts_of(altered(llama, tmp_path / "copy", lambda found: None))
    assert same_weights(one, other) is False
    assert same_weights(one, copy) is True
    run = VariantRun(variant="v", facts=other, must_be_quantized=True)
    assert other_weights_check(run, other, one).held


@pytest.mark.fault("F13", "the candidate is a copy of the baseline", "same model")
@pytest.mark.fault("F14", "the candidate is a copy of the baseline with its dtype named", "a note, no fault")
@pytest.mark.parametrize(("claims", "blocks"), [(True, True), (False, False)])
def test_a_copy_of_the_baseline_is_named(llama: Path, claims: bool, blocks: bool) -> None:
    """It blocks a variant that has to be quantized, and is said of any other."""
    facts = facts_of(llama)
    found = other_weights_check(VariantRun(variant="v", facts=facts, must_be_quantized=claims), facts, facts)
    assert (found.held, found.blocks) == (False, blocks)
    assert found.says == "its weights equal the baseline's: it is the same model"


def test_a_sampled_digest_of_before_claims_nothing(llama: Path) -> None:
    """Facts that were stored by an earlier version cannot prove two models equal."""
    facts = facts_of(llama)
    old = facts.model_copy(update={"weights_digest_full": False})
    assert same_weights(old, facts) is None
    assert same_weights(old, old) is None
    assert same_weights(old, old.model_copy(update={"weights_digest": "other"})) is False


@pytest.mark.fault("F10", "one value of a weight is NaN", "named")
@pytest.mark.fault("M31", "weights overflow in float16, or a padded row that nobody uses is NaN", "named")
def test_values_that_are_no_numbers_are_named(llama: Path, tmp_path: Path) -> None:
    """Also in a row of the output layer that no text uses, and where float16 cannot hold what float32 can."""

    def spoil(found: dict[str, Any]) -> None:
        found["model.layers.0.mlp.up_proj.weight"][3, 5] = float("nan")
        found["lm_head.weight"][199, 0] = float("nan")

    broken = facts_of(altered(llama, tmp_path / "nan", spoil)).non_finite
    assert set(broken) == {"model.layers.0.mlp.up_proj.weight", "lm_head.weight"}

    def swell(found: dict[str, Any]) -> None:
        found["model.layers.1.mlp.up_proj.weight"] *= 1e6

    swollen = altered(llama, tmp_path / "large", swell)
    assert facts_of(swollen).non_finite == ()
    assert facts_of(swollen, dtype="float16").non_finite == ("model.layers.1.mlp.up_proj.weight",)


@pytest.mark.fault("M27", "an LLM.int8 folder casts at every layer of every pass", "silent, as for quantize:")
def test_a_prequantized_int8_folder_is_silent(llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """bitsandbytes warns of its own way of working, once a layer and pass."""
    folder = tmp_path / "int8"
    shutil.copytree(llama, folder)
    config = transformers.BitsAndBytesConfig(load_in_8bit=True)
    transformers.AutoModelForCausalLM.from_pretrained(llama, quantization_config=config).save_pretrained(folder)
    loaded = engine.load(spec(configured(folder, tmp_path / "copy"), dtype="bfloat16"))
    assert loaded.facts().quantized_modules == 14
    assert not [record for record in caplog.records if "MatMul8bitLt" in record.getMessage()]


@pytest.mark.fault("kind: layouts of quantized weights", "a gpt-oss checkpoint in MXFP4", "decompressed, and told so")
def test_mxfp4_experts_are_read(tmp_path: Path) -> None:
    """Blocks of 32 with one scale, in fused experts: where no kernel is, transformers decompresses them. The values are
    those of the format (OCP Microscaling Formats 1.0: E2M1 with a scale of 2^(e - 127))."""
    config = tiny_config("gptoss", num_local_experts=4, num_experts_per_tok=2, intermediate_size=64)
    source = save_model(tmp_path / "source", config)
    kept: dict[str, Any] = {}

    def pack(found: dict[str, Any]) -> None:
        for name in [name for name in found if name.endswith(("gate_up_proj", "down_proj"))]:
            experts, into, out = found.pop(name).shape
            kept[name] = torch.randint(0, 256, (experts, out, into // 32, 16), dtype=torch.uint8)
            found[f"{name}_blocks"] = kept[name]
            found[f"{name}_scales"] = torch.full((experts, out, into // 32), 123, dtype=torch.uint8)

    packed = altered(source, tmp_path / "packed", pack)
    claim = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.embed_tokens", "lm_head"]}
    loaded = load(configured(packed, tmp_path / "mxfp4", quantization_config=claim), dtype=None)
    facts = EngineFacts.model_validate(asdict(loaded.facts()))
    assert facts.quantized_kinds == {"decompressed": 4}
    assert facts.dequantised is not None
    assert check(facts, facts_of(source)).held
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    blocks = kept["model.layers.0.mlp.experts.down_proj"].long()
    values = torch.stack([table[blocks & 15], table[blocks >> 4]], -1).flatten(-3) * 2.0 ** (123 - 127)
    experts = dict(loaded._loaded.model.named_parameters())["model.layers.0.mlp.experts.down_proj"]
    assert torch.equal(experts.float(), values.transpose(1, 2))
    with pytest.raises(EngineError, match=r"tensor of MXFP4.*no quantization_config"):
        load(packed)
