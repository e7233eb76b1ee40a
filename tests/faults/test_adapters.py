"""An adapter is loaded whole, on the base it was made on, or it is refused: peft alone only warns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.errors import EngineError
from tests.faults.checkpoints import ASKED, altered, configured, load, save_adapter, save_llama, scores

FILE = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(base, tmp_path_factory.mktemp("adapter") / "lora")


def plain(model: Any) -> list[float]:
    """Scores by the model's own forward pass."""
    found = []
    for continuation in ASKED.continuations:
        with torch.no_grad():
            ids = torch.tensor([[*ASKED.context, *continuation[:-1]]])
            rows = torch.log_softmax(model(input_ids=ids).logits[0].float(), -1)
        first = len(ASKED.context) - 1
        found += [float(rows[first + place, token]) for place, token in enumerate(continuation)]
    return found


def with_peft(base: Path, adapter: Path) -> list[float]:
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return plain(peft.PeftModel.from_pretrained(model, adapter).eval())


@pytest.mark.fault("M10", "every key of an adapter is renamed so that none matches", "keys named")
def test_an_adapter_that_matches_nothing_is_an_error(base: Path, adapter: Path, tmp_path: Path) -> None:
    """Keys under `language_model.`, as adapters of vision-language models have them."""

    def rename(found: dict[str, Any]) -> None:
        for key in list(found):
            found[key.replace("model.layers", "model.language_model.layers")] = found.pop(key)

    broken = altered(adapter, tmp_path / "renamed", rename, FILE)
    with pytest.raises(EngineError, match=r"none of its weights were loaded; 4 of its 4 .*language_model.layers.0"):
        load(base, adapter=str(broken))


@pytest.mark.fault("M10", "half of an adapter's keys are gone or renamed", "keys named")
def test_an_adapter_that_matches_half_is_an_error(base: Path, adapter: Path, tmp_path: Path) -> None:
    """What the file lacks would be an adapter of zeros there."""

    def drop(found: dict[str, Any]) -> None:
        for key in [key for key in found if "q_proj" in key]:
            del found[key]

    with pytest.raises(EngineError, match=r"2 of 4 weights that it should bring are not in it \(.*q_proj"):
        load(base, adapter=str(altered(adapter, tmp_path / "half", drop, FILE)))


@pytest.mark.fault("M12", "two tokens are added and trained with an adapter", "embeddings resized as it needs")
@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_are_resized_to_the_adapters(tied: bool, tmp_path: Path) -> None:
    """As lm-eval does; the scores are peft's own on a base that was resized by hand."""
    import peft

    base = save_llama(tmp_path / "base", tie_word_embeddings=tied)
    adapter = save_adapter(
        base,
        tmp_path / "resized",
        prepare=lambda model: model.resize_token_embeddings(202),
        modules_to_save=["embed_tokens"] if tied else ["embed_tokens", "lm_head"],
        ensure_weight_tying=tied,
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(202)
    expected = plain(peft.PeftModel.from_pretrained(model, adapter).eval())
    loaded = load(base, adapter=str(adapter))
    assert scores(loaded) == pytest.approx(expected, abs=1e-5)
    assert any("resized from 200 to the adapter's 202" in note for note in loaded.facts().notes)


@pytest.mark.fault("M14", "an adapter is put on another base of the same shapes", "both named")
def test_an_adapter_of_another_base_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    """Proven where both are here and differ in a weight; a copy of its base is its base."""
    other = save_llama(tmp_path / "other", seed=9)
    with pytest.raises(EngineError, match=rf"was made on {base}, and {other} is another model: .* differs"):
        load(other, adapter=str(adapter))
    copy = altered(base, tmp_path / "copy", lambda found: None)
    assert scores(load(copy, adapter=str(adapter))) == pytest.approx(scores(load(base, adapter=str(adapter))), abs=1e-6)


@pytest.mark.fault("M14", "an adapter names a base that is not here", "noted")
def test_an_unknown_base_is_noted(base: Path, adapter: Path, tmp_path: Path) -> None:
    """A hub id or a folder of another machine proves nothing."""
    moved = configured(adapter, tmp_path / "moved", CONFIG, base_model_name_or_path="somebody/model")
    notes = load(base, adapter=str(moved)).facts().notes
    assert any("names somebody/model as its base" in note for note in notes)
    named = configured(base, tmp_path / "named", _name_or_path="somebody/model")
    assert not any("somebody" in note for note in load(named, adapter=str(moved)).facts().notes)


@pytest.mark.fault("M28", "adapters with every option of LoRA", "scores equal peft's own")
@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True, "lora_alpha": 8},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"up_proj": 4}, "alpha_pattern": {"up_proj": 16}},
        {"bias": "all", "target_modules": "all-linear"},
        {"trainable_token_indices": {"embed_tokens": [5, 9]}},
    ],
    ids=["dora", "rslora", "modules to save", "patterns", "bias", "tokens"],
)
def test_adapters_equal_peft(base: Path, options: dict[str, Any], tmp_path: Path) -> None:
    """None is refused, and each changes the base."""
    adapter = save_adapter(base, tmp_path / "adapter", **options)
    found = scores(load(base, adapter=str(adapter)))
    assert found == pytest.approx(with_peft(base, adapter), abs=1e-5)
    assert found != pytest.approx(scores(load(base)), abs=1e-3)


def test_an_adapter_folder_as_a_model(base: Path, adapter: Path) -> None:
    """Its base comes from its config; the scores are those of the two given apart."""
    assert json.loads((adapter / CONFIG).read_text())["base_model_name_or_path"] == str(base)
    assert scores(load(adapter, tokenizer=str(base))) == scores(load(base, adapter=str(adapter)))


@pytest.mark.parametrize(("kind", "refused"), [("PromptTuningConfig", True), ("PrefixTuningConfig", False)])
def test_tokens_that_an_adapter_puts_before_a_text(base: Path, kind: str, refused: bool, tmp_path: Path) -> None:
    """They move every place, which is said in one sentence; a prefix of states moves none and is scored by peft."""
    import peft

    torch.manual_seed(2)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    wrapped: Any = peft.get_peft_model(model, getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=4))
    wrapped.eval().save_pretrained(str(tmp_path / "soft"))
    if refused:
        with pytest.raises(EngineError, match="PROMPT_TUNING puts 4 tokens of its own before every text"):
            load(tmp_path / "soft")
    else:
        assert scores(load(tmp_path / "soft")) == pytest.approx(plain(wrapped), abs=1e-4)
