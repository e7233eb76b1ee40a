"""Faults in what decides a greedy answer beside the logits: the baseline's rules hold for every variant and engine."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.engines.decoding import Decoding, read_settings, received, sent
from harness.engines.penalties import ruled
from harness.engines.protocol import GenerateRequest, LoadSpec, ScoreRequest
from harness.engines.served.decoding_rules import Piece, answer
from harness.engines.served.dialect import Detokenizer
from harness.engines.served.fake import Answer, Pages
from harness.engines.served.served_engine import load
from harness.errors import EngineError, SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_decoding import suite_rules
from harness.planning.task_plan import TaskPlan
from harness.runner.generation_settings import decoding_notes, own_rules
from harness.suite.load import load_suite
from tests.engines.served.fake_servers import Serve, expected, llamacpp, plain, sglang, vllm
from tests.engines.tiny import save_tokenizer, tiny_config

ITEMS, NEW = 12, 10
VOCABULARY = 60


# -- a model with settings of its own, and a copy without them


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that repeats itself unless its generation settings forbid it."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("penalised") / "model"
    torch.manual_seed(3)
    built = transformers.AutoModelForCausalLM.from_config(tiny_config("llama"))
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    built.save_pretrained(str(folder))
    save_tokenizer(folder)
    own = {"eos_token_id": [2, 9, 11], "bos_token_id": 1, "pad_token_id": 0, "repetition_penalty": 1.3}
    sampling = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "no_repeat_ngram_size": 3}
    (folder / "generation_config.json").write_text(json.dumps({**own, **sampling}))
    shutil.copytree(folder, folder.parent / "lost")
    (folder.parent / "lost" / "generation_config.json").unlink()
    return folder


def write(folder: Path, model: Path, answers: Sequence[str] | None = None, **more: object) -> Path:
    """A suite of one generation task; its references are the given answers."""
    source = random.Random(5)
    rows = [
        {"q": " ".join(f"w{source.randrange(12, 200)}" for _ in range(source.randrange(3, 9))), "a": each}
        for each in answers or ["w12"] * ITEMS
    ]
    folder.mkdir(exist_ok=True)
    (folder / "say.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    say = {"data": "say.jsonl", "prompt": "{{q}}", "answer": "{{a}}", "max_new_tokens": NEW}
    suite = {
        "suite": "rules",
        "model": str(model),
        "variants": {
            "full": {"baseline": True, "dtype": "float32"},
            "lost": {"path": str(model.parent / "lost"), "dtype": "float32"},
        },
        "tasks": {"say": {"generate": say}},
        "noise_floor": False,
        **more,
    }
    (folder / "suite.yaml").write_text(json.dumps(suite))
    return folder / "suite.yaml"


def said(suite: Path, results: Path, variant: str) -> tuple[list[str], tuple[str, ...]]:
    """The answers of a variant and the notes on it."""
    from harness.records.store import Store

    run = harness.run(suite, results=results, offline=True)
    found = run.manifest.variants[variant]
    assert found.failure is None, found.failure
    assert found.facts is not None
    store = Store(results)
    texts = {each.item: each.answer.text for each in store.items(found.evaluations["say"]) if each.answer is not None}
    planned_ = store.planned_items(run.manifest.tasks["say"].plan)
    return [texts[each.item] for each in planned_], found.facts.notes


def plain_answers(folder: Path, prompts: Sequence[str], **rules: Any) -> list[str]:
    """transformers' own greedy answers, one prompt at a time."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer.encode(prompt)])
        with torch.no_grad():
            output = model.generate(ids, do_sample=False, max_new_tokens=NEW, pad_token_id=0, **rules)
        text = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
        found.append(text.split(tokenizer.eos_token)[0])
    return found


def prompts_of(suite: Path) -> list[str]:
    return [json.loads(line)["q"] for line in (suite.parent / "say.jsonl").read_text().splitlines()]


def cut_at_ends(texts: Sequence[str], ends: Sequence[str]) -> list[str]:
    """Answers without the word that ended them, which is a word like others to this tokenizer."""
    found = []
    for text in texts:
        words = text.split()
        stop = next((place for place, word in enumerate(words) if word in ends), len(words))
        found.append(" ".join(words[:stop]))
    return found


@pytest.mark.fault(
    "M9", "the quantizer lost generation_config.json", "the baseline's decoding rules hold for every variant"
)
def test_settings_that_a_variant_lost_hold_for_it_all_the_same(model: Path, tmp_path: Path) -> None:
    """The same weights without their generation_config.json give the baseline's very answers, which are those of
    transformers alone, and the difference is named."""
    suite = write(tmp_path / "suite", model)
    full, _ = said(suite, tmp_path / "results", "full")
    assert full == cut_at_ends(plain_answers(model, prompts_of(suite)), ("w9", "w11"))
    assert full != cut_at_ends(plain_answers(model.parent / "lost", prompts_of(suite)), ())
    lost, notes = said(suite, tmp_path / "results", "lost")
    assert lost == full
    (note,) = [each for each in notes if "generation settings are not followed" in each]
    assert "repetition_penalty none where the rules are 1.3" in note
    assert "end_tokens [2] where the rules are [2, 9, 11]" in note


@pytest.mark.fault("M9", "a variant's own generation_config.json sets a penalty that the baseline has not")
def test_settings_that_only_a_variant_has_do_not_hold(model: Path, tmp_path: Path) -> None:
    """With the bare copy as the baseline nobody is penalised, and the variant's file is named."""
    lost = model.parent / "lost"
    variants = {
        "full": {"baseline": True, "path": str(lost), "dtype": "float32"},
        "own": {"path": str(model), "dtype": "float32"},
    }
    suite = write(tmp_path / "suite", model, variants=variants)
    full, _ = said(suite, tmp_path / "results", "full")
    own, notes = said(suite, tmp_path / "results", "own")
    assert own == full == plain_answers(lost, prompts_of(suite))
    assert any("repetition_penalty 1.3 where the rules are none" in note for note in notes)


def test_a_suite_sets_rules_of_its_own(model: Path, tmp_path: Path) -> None:
    """`decoding:` changes what it names, for both; the rest stays the baseline's; `inherit: false` drops that."""
    rules = {"repetition_penalty": 1.0, "end_tokens": ["</s>"]}
    suite = write(tmp_path / "suite", model, decoding=rules)
    for variant in ("full", "lost"):
        found, _ = said(suite, tmp_path / "results", variant)
        assert found == plain_answers(model.parent / "lost", prompts_of(suite), no_repeat_ngram_size=3)
    bare = write(tmp_path / "suite", model, decoding={"inherit": False, "end_tokens": [2]})
    assert said(bare, tmp_path / "results", "lost")[0] == plain_answers(model.parent / "lost", prompts_of(bare))


# -- what is asked


def planned(suite: Path, own: Decoding | None) -> TaskPlan:
    from harness.planning.tokens import HfTokenizer

    loaded = load_suite(suite)
    tokenizer = HfTokenizer(loaded.suite.model)
    rules = suite_rules(loaded, own, tokenizer)
    return plan_suite(loaded, tokenizer, context_length=None, tasks=("say",), decoding=rules)[0]


def test_usual_rules_leave_hashes_as_they_were_and_others_change_them(model: Path, tmp_path: Path) -> None:
    """The likeliest token up to the tokenizer's end of text is no news; a penalty, another end token is."""
    suite = write(tmp_path / "suite", model)
    before = planned(suite, None)
    usual, penal, ends = (
        planned(suite, each)
        for each in (
            Decoding(end_tokens=(2,)),
            Decoding(end_tokens=(2,), repetition_penalty=1.3),
            Decoding(end_tokens=(2, 9)),
        )
    )
    assert before.hash == usual.hash
    assert len({before.hash, penal.hash, ends.hash}) == 3
    assert penal.items[0].prompt_hash != before.items[0].prompt_hash == ends.items[0].prompt_hash


TASK = """task: asked
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 4, no_repeat_ngram_size: {size}, typical_p: 0.9}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def planned_task(folder: Path, model: Path, size: object, decoding: object = None) -> TaskPlan:
    from harness.planning.tokens import HfTokenizer

    suite = write(folder, model, decoding=decoding)
    rows = folder / "asked.jsonl"
    rows.write_text('{"q": "w5 w6", "a": "w7"}\n')
    (folder / "asked.yaml").write_text(TASK.format(rows=rows, size=size))
    content = json.loads(suite.read_text())
    suite.write_text(json.dumps({**content, "tasks": {"say": {"lm_eval": "asked.yaml"}}, "gates": []}))
    loaded = load_suite(suite)
    tokenizer = HfTokenizer(loaded.suite.model)
    rules = suite_rules(loaded, Decoding(end_tokens=(2,), repetition_penalty=1.3), tokenizer)
    return plan_suite(loaded, tokenizer, context_length=None, tasks=("say",), decoding=rules)[0]


def test_settings_of_a_task_are_part_of_what_it_asks(model: Path, tmp_path: Path) -> None:
    """A rule in an lm-eval task's `generation_kwargs` holds beside the baseline's, unless the suite sets it; one that
    cannot be followed is named, one that cannot be is refused at its task."""
    own = planned_task(tmp_path / "own", model, 3)
    [request] = own.requests[0]
    assert isinstance(request, GenerateRequest)
    assert request.decoding == Decoding(end_tokens=(2,), repetition_penalty=1.3, no_repeat_ngram_size=3)
    assert [note for note in own.notes if "generates without" in note] == [
        "say: generates without the task's typical_p, which quantgate does not follow"
    ]
    [request] = planned_task(tmp_path / "suite", model, 3, {"no_repeat_ngram_size": 2}).requests[0]
    assert isinstance(request, GenerateRequest)
    assert request.decoding == Decoding(end_tokens=(2,), repetition_penalty=1.3, no_repeat_ngram_size=2)
    with pytest.raises(SuiteError, match=r"tasks.say.lm_eval: generation_kwargs: no_repeat_ngram_size: expected a num"):
        planned_task(tmp_path / "wrong", model, "often")


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"end_tokens": ["w5 w6"]}, "decoding.end_tokens[0]: expected the id or the text of one token"),
        ({"repetition_penalty": 0}, "decoding.repetition_penalty: expected a number above 0"),
        ({"repeat_penalty": 1.3}, "decoding.repeat_penalty: unknown key, did you mean repetition_penalty?"),
        ({"end_tokens": [-1]}, "decoding.end_tokens[0]"),
    ],
)
def test_rules_that_cannot_be_are_refused(model: Path, tmp_path: Path, decoding: object, words: str) -> None:
    """At their key, with what was expected."""
    suite = write(tmp_path / "suite", model, decoding=decoding)
    with pytest.raises(SuiteError) as raised:
        planned(suite, None)
    assert words in str(raised.value)


# -- settings in files

SAMPLING = st.fixed_dictionaries(
    {},
    optional={
        "do_sample": st.booleans(),
        "temperature": st.floats(0.1, 2),
        "top_p": st.floats(0.1, 1),
        "top_k": st.integers(1, 99),
        "chat_format": st.text(max_size=5),
        "max_window_size": st.integers(1, 99),
        "max_length": st.integers(1, 99),
        "transformers_version": st.text(max_size=5),
    },
)
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=4)
RULES = st.builds(
    Decoding,
    end_tokens=TOKENS.map(lambda each: tuple(sorted(set(each)))),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7, 2.5]),
    no_repeat_ngram_size=st.integers(0, 4),
    min_new_tokens=st.integers(0, 4),
    suppress_tokens=TOKENS.map(lambda each: tuple(dict.fromkeys(each))),
    begin_suppress_tokens=TOKENS.map(lambda each: tuple(dict.fromkeys(each))),
    bad_words=st.lists(
        st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=3).map(tuple), max_size=3, unique=True
    ).map(tuple),
)


@pytest.mark.fault("kind: decoding", "generation settings with random values, penalties and sampling mixed")
@given(rules=RULES, sampling=SAMPLING)
def test_settings_are_read_without_what_a_greedy_choice_does_not_see(
    rules: Decoding, sampling: dict[str, object]
) -> None:
    """Penalties come back as they were written, sampling settings and unknown keys are left out."""
    written = {("bad_words_ids" if name == "bad_words" else name): value for name, value in rules.rules().items()}
    file = json.loads(json.dumps({**sampling, **written, "eos_token_id": list(rules.end_tokens)}))
    assert read_settings(file) == rules
    assert received(json.loads(json.dumps(sent(rules)))) == rules


@pytest.mark.parametrize(
    "given_",
    [{"eos_token_id": "</s>"}, {"repetition_penalty": "high"}, {"bad_words_ids": 7}, {"suppress_tokens": [True]}],
)
def test_settings_of_a_wrong_type_are_an_error(given_: dict[str, object]) -> None:
    """With the setting's name."""
    with pytest.raises(ValueError, match=next(iter(given_))):
        read_settings(given_)


def test_settings_come_from_the_configuration_where_there_is_no_file_of_their_own(tmp_path: Path) -> None:
    """As transformers has it: the whole's, else the text part's; a broken file is an error with its place."""
    from harness.engines.protocol import LoadSpec

    load = LoadSpec(variant="v", engine="transformers", path=str(tmp_path))
    text = {"eos_token_id": [5, 3], "repetition_penalty": 1.2}
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": None, "text_config": text}))
    assert own_rules(load) == Decoding(end_tokens=(3, 5), repetition_penalty=1.2)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 4}')
    assert own_rules(load) == Decoding(end_tokens=(4,))
    for broken in ("[", "[]", "[" * 100_000):
        (tmp_path / "generation_config.json").write_text(broken)
        with pytest.raises(SuiteError, match=r"generation_config\.json: expected"):
            own_rules(load)


def test_a_search_with_beams_is_named(model: Path, tmp_path: Path) -> None:
    """Answers are greedy for everybody; a file that asks for beams is told so, also the baseline's."""
    folder = Path(shutil.copytree(model, tmp_path / "beams"))
    settings_ = {**json.loads((model / "generation_config.json").read_text()), "num_beams": 4}
    (folder / "generation_config.json").write_text(json.dumps(settings_))
    asked = LoadSpec(variant="v", engine="transformers", path=str(folder))
    rules = own_rules(asked)
    assert decoding_notes(asked, rules) == (
        "its own generation settings are not followed: num_beams 4 where every answer is greedy",
    )
    assert decoding_notes(dataclasses.replace(asked, path=str(model)), rules) == ()


def test_stop_strings_of_a_model_end_its_answers(model: Path, tmp_path: Path) -> None:
    """The text up to one, which stays in the answer as in transformers."""
    from harness.engines.transformers import transformers_engine as engine

    folder = Path(shutil.copytree(model, tmp_path / "stops"))
    prompt = (20, 31, 47)
    loaded = engine.load(LoadSpec(variant="v", engine="transformers", path=str(folder), offline=True))
    whole = loaded.generate([GenerateRequest(prompt=prompt, max_new_tokens=NEW, decoding=Decoding())])[0]
    stop = whole.text.split()[3]
    first = whole.text.split().index(stop) + 1
    rules = read_settings({"stop_strings": [stop]})
    short = loaded.generate([GenerateRequest(prompt=prompt, max_new_tokens=NEW, decoding=rules)])[0]
    assert short.tokens == whole.tokens[:first]
    assert short.text.endswith(stop)


@pytest.mark.parametrize("generates", [True, False])
def test_settings_that_nobody_can_read_matter_to_answers_only(model: Path, tmp_path: Path, generates: bool) -> None:
    """A choice is scored, not generated: a broken file of generation settings is none of its business."""
    folder = Path(shutil.copytree(model, tmp_path / "broken"))
    (folder / "generation_config.json").write_text('{"eos_token_id": "</s>"}')
    ask = {"choice": {"data": "say.jsonl", "prompt": "{{q}}", "choices": ["w12", "w13"], "answer": "{{a}}"}}
    path = write(tmp_path / "suite", folder, variants={"full": {"baseline": True, "dtype": "float32"}})
    if not generates:
        path.write_text(json.dumps({**json.loads(path.read_text()), "tasks": {"ask": ask}}))
    if generates:
        with pytest.raises(SuiteError, match="eos_token_id: expected token ids"):
            harness.run(path, results=tmp_path / "results", offline=True)
    else:
        run = harness.run(path, results=tmp_path / "results", offline=True)
        assert run.manifest.variants["full"].evaluations.keys() == {"ask"}


# -- the rules, step by step


@pytest.mark.fault("kind: decoding", "random rules on random logits, against transformers' own processors")
@settings(deadline=None, max_examples=60)
@given(
    rules=RULES,
    text=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    seed=st.integers(0, 9),
    cut=st.integers(0, 11),
)
def test_rules_on_logits_are_transformers_own(rules: Decoding, text: list[int], seed: int, cut: int) -> None:
    """llama.cpp's logits are changed exactly as transformers would change them."""
    import torch
    import transformers

    cut = min(max(cut, 1), len(text))
    logits = np.random.default_rng(seed).normal(size=VOCABULARY).astype(np.float32)
    given_ = {("bad_words_ids" if name == "bad_words" else name): value for name, value in rules.rules().items()}
    listed = json.loads(json.dumps(given_))
    config = transformers.GenerationConfig(**listed, eos_token_id=list(rules.end_tokens) or None)
    config._eos_token_tensor = torch.tensor(rules.end_tokens, dtype=torch.long) if rules.end_tokens else None
    built = transformers.AutoModelForCausalLM.from_config(tiny_config("llama", num_hidden_layers=1))
    processors = built._get_logits_processor(config, input_ids_seq_length=cut, device="cpu")
    wanted = processors(torch.tensor([text]), torch.tensor(logits)[None].clone())[0].numpy()
    np.testing.assert_array_equal(ruled(logits, text[:cut], text[cut:], rules), wanted)


# -- servers


@pytest.mark.fault("kind: decoding", "servers that end answers at other tokens than the baseline does")
@given(
    ours=st.sets(st.integers(0, 9), max_size=4),
    theirs=st.sets(st.integers(0, 9), max_size=4),
    step=st.integers(1, 9),
    limit=st.integers(1, 20),
)
def test_an_answer_of_a_server_ends_where_the_rules_say(
    ours: set[int], theirs: set[int], step: int, limit: int
) -> None:
    """Whatever tokens end a text for the server, the answer is the one that ends at the rules' tokens."""

    def following(prompt: Sequence[int]) -> int:
        return (sum(prompt) * step + len(prompt)) % 10

    def ask(prompt: Sequence[int], count: int) -> Piece:
        tokens: list[int] = []
        while len(tokens) < count:
            tokens.append(following((*prompt, *tokens)))
            if tokens[-1] in theirs:
                break
        end = bool(tokens) and tokens[-1] in theirs
        shown = tokens[:-1] if end else tokens
        return Piece(text=" ".join(map(str, shown)), tokens=tuple(tokens), ended="end" if end else "length")

    wanted: list[int] = []
    while len(wanted) < limit and following((3, *wanted)) not in ours:
        wanted.append(following((3, *wanted)))
    request = GenerateRequest(prompt=(3,), max_new_tokens=limit, decoding=Decoding(end_tokens=tuple(sorted(ours))))
    found = answer(request, ask, "http://server")
    assert found.tokens == tuple(wanted)
    assert found.finish == ("length" if len(wanted) == limit else "stop")
    if not theirs - ours:
        assert found.text.split() == [str(each) for each in wanted]


PENALTY = Decoding(end_tokens=(7,), repetition_penalty=1.3)


@pytest.mark.parametrize(
    ("pages", "sent_"),
    [
        (vllm, {"repetition_penalty": 1.3, "stop_token_ids": [7], "ignore_eos": True, "min_tokens": 0}),
        (llamacpp(grammar=True), {"repeat_penalty": 1.3, "repeat_last_n": 4, "presence_penalty": 0}),
        (sglang, None),
        (plain(echo=True), None),
    ],
)
def test_rules_are_sent_to_a_server_or_refused(serve: Serve, pages: Pages, sent_: dict[str, object] | None) -> None:
    """In the words of each kind of server; one that cannot follow a penalty is refused by the penalty's name, and
    scores all the same."""
    fake = serve(pages)
    engine = load(LoadSpec(variant="v", engine="served", path=fake.url))
    request = GenerateRequest(prompt=(400, 401), max_new_tokens=2, decoding=PENALTY)
    if sent_ is None:
        with pytest.raises(EngineError, match=r"decoding rules set repetition_penalty 1\.3, which .* cannot follow"):
            engine.generate([request])
        assert engine.score([ScoreRequest(context=(400, 401), continuations=((402,),))])
    else:
        engine.generate([request])
        assert sent_.items() <= fake.asked[-1][1].items()
    engine.close()


@pytest.mark.fault("M17", "a server with echo shows no token where the text ends behind the prompt")
def test_log_probs_of_a_prompt_count_where_the_answer_has_no_token(serve: Serve) -> None:
    """n entries for n tokens of the prompt are all that is asked for; fewer are refused."""
    kept = 3

    def pages(path: str, body: dict[str, Any]) -> Answer:
        found = plain(echo=True)(path, body)
        if body.get("logprobs") and len(body["prompt"]) == 3:
            shown = found.body["choices"][0]["logprobs"]
            for name in ("token_logprobs", "top_logprobs"):
                shown[name] = shown[name][:kept]
        return found

    engine = load(LoadSpec(variant="v", engine="served", path=serve(pages).url))
    request = ScoreRequest(context=(400, 401), continuations=((402,),))
    assert engine.score([request]) == [(expected((400, 401), (402,)),)]
    kept = 2
    with pytest.raises(EngineError, match="3 entries of the prompt"):
        engine.score([request])
    engine.close()


@pytest.mark.fault("T26", "an empty stop string beside a real one", "ignored")
def test_an_empty_stop_string_stops_nothing(model: Path, tmp_path: Path) -> None:
    """The answers are those without it."""
    found = []
    for until in ([], [""], ["", "w140"], ["w140"]):
        suite = json.loads(write(tmp_path / "suite", model).read_text())
        suite["tasks"]["say"]["generate"]["until"] = until
        del suite["variants"]["lost"]
        (tmp_path / "suite" / "suite.yaml").write_text(json.dumps(suite))
        found.append(planned_answers(tmp_path / "suite" / "suite.yaml"))
    assert found[0] == found[1]
    assert found[2] == found[3]


def planned_answers(suite: Path) -> list[str]:
    """What the engine answers to the plan's requests."""
    from harness.engines.transformers import transformers_engine as engine

    plan = planned(suite, None)
    loaded = engine.load(LoadSpec(variant="v", engine="transformers", path=str(load_suite(suite).suite.model)))
    requests = [each for item in plan.requests for each in item if isinstance(each, GenerateRequest)]
    return [each.text for each in loaded.generate(requests)]


@pytest.mark.fault("M21", "a server that takes only text, and a prompt cut within a character", "refused in words")
def test_a_prompt_that_no_text_can_say_is_refused(tmp_path: Path) -> None:
    """Text that is read back as other tokens than planned is not sent."""
    import tokenizers

    words = {"<pad>": 0, "a": 1, "b": 2, "ab": 3}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(words, [("a", "b")], unk_token="<pad>"))
    inner.save(str(tmp_path / "tokenizer.json"))
    local = Detokenizer(LoadSpec(variant="v", engine="served", path="http://h", tokenizer=str(tmp_path)))
    assert local.text((3,)) == "ab"
    with pytest.raises(EngineError, match="read back as other tokens than planned"):
        local.text((1, 2))


def test_rules_that_nobody_set_leave_a_model_to_its_own_files() -> None:
    """A request without rules is one as before."""
    assert GenerateRequest(prompt=(1,), max_new_tokens=1).decoding is None
    assert dataclasses.replace(Decoding()).is_plain
