"""Loaded means loaded right: what a checkpoint lacks, has too much of, or claims wrongly is refused by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.engines.foreign_errors import translated
from harness.errors import EngineError, telling
from tests.engines.tiny import tiny_config
from tests.faults.checkpoints import (
    SMALL,
    Tensors,
    altered,
    configured,
    load,
    save_llama,
    save_model,
    scores,
)

HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
TEXT: dict[str, Any] = {
    "vocab_size": 200, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
QWEN_IDS: dict[str, Any] = {
    "image_token_id": 190, "video_token_id": 191, "vision_start_token_id": 192, "vision_end_token_id": 193,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.mark.fault("M5", "the output layer is taken out of a checkpoint that does not tie it", "missing weight named")
def test_a_missing_output_layer_is_an_error(llama: Path, tmp_path: Path) -> None:
    """It would be random: the class says that it can be tied, the config says that it is not."""
    broken = altered(llama, tmp_path / "broken", lambda found: found.pop(HEAD))
    with pytest.raises(EngineError, match=r"such as lm_head.weight; tie_word_embeddings is false"):
        load(broken)


@pytest.mark.fault(
    "M26", "tied weights are saved once, or a tied config has an output layer of its own", "loaded right"
)
def test_tied_weights_are_saved_once(tmp_path: Path) -> None:
    """A tied model lacks its output layer in the file and is whole; one that has another head keeps it."""
    tied = save_llama(tmp_path / "tied", tie_word_embeddings=True)
    facts = load(tied).facts()
    assert facts.weight_bytes is not None
    assert facts.weight_bytes < 4 * facts.parameters + 1000
    other = altered(tied, tmp_path / "other", lambda found: found.update({HEAD: torch.randn(200, 16)}))
    assert load(other).facts().parameters == facts.parameters + 200 * 16
    assert any("ties the output layer" in note for note in load(other).facts().notes)
    again = altered(tied, tmp_path / "again", lambda found: found.update({HEAD: found[EMBEDDINGS].clone()}))
    assert not any("ties the output layer" in note for each in (tied, again) for note in load(each).facts().notes)
    assert scores(load(other)) != pytest.approx(scores(load(tied)), abs=1e-3)


@pytest.mark.fault("kind: keys of a checkpoint", "a tensor is dropped, renamed, reshaped or added", "named")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda found: found.pop("model.norm.weight"), "model.norm.weight"),
        (lambda found: found.update({HEAD: found[HEAD][:150].clone()}), r"lm_head.weight: \[150, 16\] in the file"),
        (
            lambda found: found.update({"model.layers.1.mlp.up_proj.weight": torch.ones(32, 16)}),
            "no place for 1 tensors of the checkpoint, such as model.layers.1.mlp.up_proj.weight",
        ),
        (
            lambda found: found.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(16)}),
            "such as model.layers.0.self_attn.q_proj.bias",
        ),
        (
            lambda found: found.update(
                {"model.layers.0.mlp.up.weight": found.pop("model.layers.0.mlp.up_proj.weight")}
            ),
            "up_proj.weight; the file has model.layers.0.mlp.up.weight instead",
        ),
    ],
    ids=["dropped", "reshaped", "another layer", "a bias", "renamed"],
)
def test_keys_that_do_not_meet_are_named(llama: Path, tmp_path: Path, change: Any, named: str) -> None:
    """What the file lacks or the model has no place for is an error with its name and shapes."""
    with pytest.raises(EngineError, match=named):
        load(altered(llama, tmp_path / "changed", change))


def test_what_belongs_to_another_task_is_noted(llama: Path, tmp_path: Path) -> None:
    """A value head, and the biases of zeros that GPTQ's writers add, change no answer of the language model."""

    def add(found: Tensors) -> None:
        found["v_head.summary.weight"] = torch.ones(1, 16)
        found["model.layers.0.mlp.up_proj.bias"] = torch.zeros(32)

    loaded = load(altered(llama, tmp_path / "more", add))
    assert scores(loaded) == scores(load(llama))
    assert any("v_head.summary.weight" in note for note in loaded.facts().notes)


def masked(name: str, mask: torch.Tensor) -> Any:
    """Puts a mask beside the attention of the first layer."""
    return lambda found: found.update({f"transformer.h.0.{name}": mask.clone()})


@pytest.mark.parametrize(("family", "name"), [("gptj", "attn.bias"), ("gptneo", "attn.attention.bias")])
def test_masks_that_older_models_were_saved_with_are_no_weights(family: str, name: str, tmp_path: Path) -> None:
    """As the published GPT-J and GPT-Neo have them; what has another shape than a mask would be a lost weight."""
    config = (
        tiny_config("gptneo")
        if family == "gptneo"
        else transformers.GPTJConfig(vocab_size=200, n_embd=64, n_layer=1, n_head=4, n_positions=64, rotary_dim=8)
    )
    plain = save_model(tmp_path / "plain", config)
    mask = torch.tril(torch.ones(1, 1, 64, 64, dtype=torch.uint8))
    found = altered(plain, tmp_path / "masked", masked(name, mask))
    assert scores(load(found)) == scores(load(plain))
    with pytest.raises(EngineError, match="no place for 1 tensors"):
        load(altered(plain, tmp_path / "lost", masked(name, torch.ones(64))))


@pytest.mark.fault("M24", "one shard of a checkpoint is deleted", "file named")
def test_a_missing_shard_is_named(llama: Path, tmp_path: Path) -> None:
    """The file that the index names and the folder lacks."""
    folder = tmp_path / "shards"
    shutil.copytree(llama, folder)
    transformers.AutoModelForCausalLM.from_pretrained(llama).save_pretrained(folder, max_shard_size="8KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    shards[1].unlink()
    with pytest.raises(EngineError, match=shards[1].name):
        load(folder)


@pytest.fixture(scope="module")
def nf4(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of bitsandbytes' 4 bits."""
    folder = tmp_path_factory.mktemp("nf4") / "nf4"
    shutil.copytree(llama, folder)
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    transformers.AutoModelForCausalLM.from_pretrained(
        llama, quantization_config=config, dtype=torch.float32
    ).save_pretrained(folder)
    return folder


@pytest.mark.fault("M15", "config.json claims bitsandbytes over plain weights", "claim and weights disagree")
@pytest.mark.fault("F17", "float weights with a 4-bit config", "a reason instead of an empty text")
def test_a_claim_over_plain_weights_is_refused(llama: Path, nf4: Path, tmp_path: Path) -> None:
    """The merged 16-bit folder that still has the quantization_config it was trained under."""
    claim = json.loads((nf4 / "config.json").read_text())["quantization_config"]
    with pytest.raises(EngineError, match=r"its config.json claims bitsandbytes, its weights do not: none of its"):
        load(configured(llama, tmp_path / "claims", quantization_config=claim))


@pytest.mark.fault("M16", "quantization_config is taken out of a 4-bit checkpoint", "claim and weights disagree")
def test_packed_weights_without_a_claim_are_refused(nf4: Path, tmp_path: Path) -> None:
    """The same the other way round."""
    with pytest.raises(EngineError, match=r"its weights are quantized \(model.layers.0.*has no quantization_config"):
        load(configured(nf4, tmp_path / "silent", quantization_config=None))


@pytest.mark.fault("M22", "a T5 or BART checkpoint", "refused in one sentence")
@pytest.mark.parametrize(
    "config",
    [
        transformers.T5Config(vocab_size=200, d_model=16, d_ff=32, num_layers=1, num_heads=2, d_kv=8),
        transformers.BartConfig(
            vocab_size=200, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
            encoder_attention_heads=2, decoder_attention_heads=2,
        ),
    ],
    ids=["t5", "bart"],
)  # fmt: skip
def test_encoder_decoders_are_refused(config: Any, tmp_path: Path) -> None:
    """In one sentence that says what they are."""
    folder = save_model(tmp_path / "m", config, auto="AutoModelForSeq2SeqLM")
    with pytest.raises(EngineError, match=r"is an encoder-decoder.*causal language models") as said:
        load(folder)
    assert "\n" not in str(said.value)


def vision_config(family: str) -> Any:
    vision: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    match family:
        case "qwen2-vl":
            rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
            text = {**TEXT, "rope_parameters": rope, "bos_token_id": 1, "eos_token_id": 2}
            tower: dict[str, Any] = {
                "depth": 1,
                "embed_dim": 16,
                "hidden_size": 64,
                "num_heads": 2,
                "mlp_ratio": 2,
                "patch_size": 14,
            }
            return transformers.Qwen2VLConfig(text_config=text, vision_config=tower, **QWEN_IDS)
        case "llava":
            tower = {"model_type": "clip_vision_model", "projection_dim": 16, **vision}
            return transformers.LlavaConfig(
                text_config={**TEXT, "model_type": "llama"}, vision_config=tower, image_token_index=190
            )
    return transformers.Gemma3Config(
        text_config={**TEXT, "head_dim": 16, "sliding_window": 16},
        vision_config={"model_type": "siglip_vision_model", **vision},
        mm_tokens_per_image=4, image_token_index=190, boi_token_index=191, eoi_token_index=192,
    )  # fmt: skip


@pytest.mark.fault("M22", "a vision-language checkpoint on text tasks", "its text part answers")
@pytest.mark.parametrize("family", ["qwen2-vl", "llava", "gemma3"])
def test_vision_language_models_answer_text(family: str, tmp_path: Path) -> None:
    """Scores equal the model's own forward pass over the same ids."""
    folder = save_model(tmp_path / "m", vision_config(family), auto="AutoModelForImageTextToText")
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        rows = torch.log_softmax(model(input_ids=torch.tensor([[5, 9, 12, 30, 7, 8]])).logits[0].float(), -1)
    expected = [float(rows[3, 7]), float(rows[4, 8]), float(rows[5, 9]), float(rows[3, 11])]
    assert scores(load(folder)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.fault(
    "kind: later tokens are seen", "an attention mask is lost, or the model is an encoder", "probe at load"
)
def test_a_model_that_sees_later_tokens_is_refused(llama: Path, tmp_path: Path) -> None:
    """A Llama whose config says that it is not causal, and BERT under its language model head."""
    with pytest.raises(EngineError, match="sees later tokens"):
        load(configured(llama, tmp_path / "both_ways", is_causal=False))
    bert = transformers.BertConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    with pytest.raises(EngineError, match="sees later tokens"):
        load(save_model(tmp_path / "bert", bert, auto="AutoModelForMaskedLM"))


@pytest.mark.fault("M30", "nine architectures with peculiarities", "scores equal the plain forward pass")
@pytest.mark.parametrize("family", ["gemma2", "cohere", "granite", "gpt2", "bloom", "mamba", "gptoss", "gptneo"])
def test_sound_architectures_pass_the_probe(family: str, tmp_path: Path) -> None:
    """Windows, soft caps, experts, states instead of attention: none of them sees later tokens."""
    assert load(save_model(tmp_path / "m", tiny_config(family))).facts().non_finite == ()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sound_models_in_sixteen_bits_pass_the_probe(dtype: str, tmp_path: Path) -> None:
    """Experts are gathered over the whole pass, so that rounding may move with later tokens."""
    config = transformers.MixtralConfig(**{**TEXT, **SMALL, "hidden_size": 64, "num_local_experts": 8})
    load(save_model(tmp_path / "m", config), dtype=dtype)


@pytest.mark.parametrize(
    "block",
    [{"method": "bitsandbytes", "bits": 8}, {"method": "bitsandbytes", "bits": 4},
     {"method": "torchao", "type": "int8_dynamic"}],
    ids=["llm.int8", "nf4", "int8 dynamic"],
)  # fmt: skip
def test_quantized_models_pass_the_probe(block: dict[str, Any], tmp_path: Path) -> None:
    """Activations that are quantized together move a little with later tokens; a lost mask still shows."""
    llama = save_llama(tmp_path / "llama", hidden_size=64, intermediate_size=128)
    assert load(llama, quantize=block).facts().quantized_modules == 7
    with pytest.raises(EngineError, match="sees later tokens"):
        load(configured(llama, tmp_path / "both_ways", is_causal=False), quantize=block)


@pytest.mark.fault("M12", "a foreign error whose first line is its title", "the line that tells is in the message")
def test_the_telling_line_of_a_foreign_error() -> None:
    """Title and cause in one line; no cause is lost, and no message is empty."""
    title = "Error(s) in loading state_dict for Model:\n\tsize mismatch for a.weight: copying torch.Size([5]) from ..."
    assert telling(RuntimeError(title)).endswith("size mismatch for a.weight: copying torch.Size([5]) from ...")
    listed = "Couldn't instantiate the backend tokenizer from one of: \n(1) a file,\n(2) a slow tokenizer."
    assert telling(ValueError(listed)).endswith("(1) a file, (2) a slow tokenizer.")
    assert telling(ValueError("one thing. And more\nhow to help")) == "one thing. And more"
    assert telling(KeyError("layers")) == "KeyError: layers"

    def refuses() -> None:
        raise AssertionError

    said = r"m: AssertionError without a text, raised by refuses \(test_loading.py:"
    with pytest.raises(EngineError, match=said), translated("m"):
        refuses()


@pytest.mark.fault("M32", "a tokenizer has several chat templates and no default", "refused by their names")
def test_chat_templates_without_a_default_are_refused(llama: Path, tmp_path: Path) -> None:
    """Whoever writes the suite is told which there are; one called `default` is taken."""
    from harness.planning.tokens import HfTokenizer

    asked = [{"role": "user", "content": "w3"}]
    found = {"tool": "{{ messages[0].content }} w4", "rag": "w5"}
    lists = configured(llama, tmp_path / "lists", "tokenizer_config.json", chat_template=as_list(found))
    with pytest.raises(EngineError, match=r"several chat templates \(rag, tool\) and none of them is the default"):
        HfTokenizer(str(lists)).chat(asked)
    default = configured(
        llama, tmp_path / "default", "tokenizer_config.json", chat_template=as_list({**found, "default": "w6"})
    )
    assert HfTokenizer(str(default)).chat(asked) == "w6"


def as_list(templates: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "template": text} for name, text in templates.items()]


@pytest.mark.fault("M13", "a folder without tokenizer files", "the whole reason")
def test_a_missing_tokenizer_is_told_with_its_reason(tmp_path: Path) -> None:
    """Not the title of the reason alone."""
    from harness.planning.tokens import HfTokenizer

    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(EngineError, match=r"no tokenizer could be loaded: .{60,}"):
        HfTokenizer(str(tmp_path))
