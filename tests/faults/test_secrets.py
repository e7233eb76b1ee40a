"""Faults with secrets: a key or a password reaches no message, log, record or report, however it is repeated."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness
from harness import masking
from harness.engines.protocol import GenerateRequest, LoadSpec, Scalar, ScoreRequest
from harness.engines.served.fake import Answer
from harness.engines.served.served_engine import load
from harness.errors import EngineError, SuiteError
from harness.suite.load import parse_suite
from tests.engines.served.fake_servers import Serve, plain

KEY = "sk-proj-4f9aQ7xZ_81-LmN0pqrs"

ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in upper case": str.upper,
    "in an address": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64 behind a word": lambda key: base64.b64encode(b"Bearer " + key.encode()).decode(),
    "in base64 of a user's name": lambda key: base64.urlsafe_b64encode(b"me:" + key.encode()).decode(),
    "in hexadecimal": lambda key: key.encode().hex(),
    "in JSON": json.dumps,
    "in HTML": html.escape,
    "as Python": repr,
    "escaped": lambda key: "".join(f"\\u{ord(each):04x}" for each in key),
    "cut": lambda key: key[:-2],
}


def leaks(text: str, key: str) -> bool:
    """Whether a text holds the key in any form, or most of it."""
    return any(form(key) in text for name, form in ECHOES.items() if name != "cut") or key[: 3 * len(key) // 4] in text


@pytest.mark.fault("kind: secrets", "random keys repeated in random forms inside of random words")
@given(
    key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60),
    form=st.sampled_from(list(ECHOES)),
    around=st.tuples(st.text(max_size=9), st.text(max_size=9)),
)
def test_no_form_of_a_key_is_left(key: str, form: str, around: tuple[str, str]) -> None:
    """Masked text holds the key in none of the forms in which libraries and servers repeat it."""
    said = masking.without(around[0] + ECHOES[form](key) + around[1], key)
    if form != "cut":
        assert ECHOES[form](key) not in said
        assert key not in said
    elif len(key) >= masking.LONG:
        assert key[:-2] not in said


WRONG = {
    "as data": {"data": "bad key {}"},
    "as a name": {"data": [{"id": 7, "{}": "{}"}]},
    "as a number": {"data": [{"id": {"value": "{}"}}]},
    "as a list": ["{}", "{}"],
    "as text": "Bearer {}",
}


@pytest.mark.fault("S16", "a server that repeats the key in its refusal", "masked")
@pytest.mark.fault("S17", "a server that repeats the key in a field of the wrong type", "masked")
@pytest.mark.fault("S20", "a server that repeats the key in base64", "masked")
@pytest.mark.fault("M20", "a server that refuses a wrong key and repeats it", "masked, api_key_env is named")
@pytest.mark.parametrize("form", ["as it is", "in base64 behind a word", "in an address", "in hexadecimal"])
@pytest.mark.parametrize("shape", [*WRONG, "refused", "no JSON", "forwarded"])
def test_a_server_that_repeats_the_key_is_not_believed_to_say_anything_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, shape: str, form: str
) -> None:
    """Whatever it answers, and however wrongly, the message holds no key."""
    echoed = ECHOES[form](KEY)

    def pages(path: str, body: dict[str, Any]) -> Answer:
        if shape == "refused":
            return Answer({"error": {"message": f"Incorrect API key provided: Bearer {echoed}"}}, status=401)
        if shape == "no JSON":
            return Answer(raw=f"<p>{echoed}".encode())
        if shape == "forwarded":
            return Answer("", status=302, headers={"Location": f"http://other/{echoed}"})
        return Answer(json.loads(json.dumps(WRONG[shape]).replace("{}", echoed)))

    monkeypatch.setenv("TEST_KEY", KEY)
    options: dict[str, Scalar] = {"api_key_env": "TEST_KEY", "server": "openai", "retries": 0}
    with pytest.raises(EngineError) as raised:
        load(LoadSpec(variant="v", engine="served", path=serve(pages).url, options=options))
    assert not leaks(str(raised.value), KEY)
    if shape == "refused":
        assert "***" in str(raised.value)
        assert "api_key_env" in str(raised.value)


def test_an_answer_that_holds_the_key_is_masked_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may write it into what it generates, and into what it says of itself."""

    def pages(path: str, body: dict[str, Any]) -> Answer:
        found = plain(echo=True)(path, body)
        if path == "/v1/models":
            found.body["data"][0]["id"] = f"model-{KEY}"
        elif "choices" in (found.body or {}):
            found.body["choices"][0]["text"] = f"the key is {KEY}"
        return found

    monkeypatch.setenv("TEST_KEY", KEY)
    options: dict[str, Scalar] = {"api_key_env": "TEST_KEY", "server": "openai"}
    engine = load(LoadSpec(variant="v", engine="served", path=serve(pages).url, options=options))
    assert not leaks(str(engine.facts()), KEY)
    (answer,) = engine.generate([GenerateRequest(prompt=(400, 401), max_new_tokens=2)])
    assert answer.text == "the key is ***"
    assert engine.score([ScoreRequest(context=(400, 401), continuations=((402,),))])
    engine.close()


@pytest.mark.fault("S19", "a key with a line break inside", "refused before it is sent, without showing it")
@pytest.mark.parametrize("key", [f"{KEY}\nsecond", f"{KEY} second", f"{KEY}ü", f"{KEY}\x00", f"\ufeff{KEY}"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """An `EngineError` with the variable's name."""
    if "\x00" in key:
        key = key.replace("\x00", "\x7f")
    monkeypatch.setenv("TEST_KEY", key)
    with pytest.raises(EngineError, match=r"TEST_KEY.*holds what no key can be") as raised:
        load(LoadSpec(variant="v", engine="served", path="http://127.0.0.1:9/v1", options={"api_key_env": "TEST_KEY"}))
    assert not leaks(str(raised.value), KEY)


# -- passwords in addresses

SUITE = """suite: live
model: none
# the old one: http://old:{password}@host/v1
variants:
  full: {{engine: scripted, baseline: true}}
  live: {{url: {url}}}
tasks:
  t: {{choice: {{data: rows.jsonl, prompt: "{{{{q}}}}", choices: [w8, w9], answer: w8}}}}
gates: []
noise_floor: false
"""
PASSWORD = "pa55-w0rd-Zq"


@pytest.mark.fault("M18", "a user and a password in the address of a server", "in no record")
@pytest.mark.fault("S21", "a password in an address, found in the stored suite", "stored and read again without it")
def test_a_password_in_an_address_reaches_no_file(serve: Serve, tmp_path: Path) -> None:
    """Neither the records nor the reports nor the logs of a run hold it; what is stored is judged again."""
    server = serve(plain(echo=True))
    url = server.url.replace("http://", f"http://admin:{PASSWORD}@") + "/v1"
    (tmp_path / "rows.jsonl").write_text('{"q": "w5"}\n{"q": "w6"}\n')
    (tmp_path / "suite.yaml").write_text(SUITE.format(url=url, password=PASSWORD))
    run = harness.run(tmp_path / "suite.yaml", results=tmp_path / "results", offline=True)
    harness.report(run, results=tmp_path / "results", reports=tmp_path / "reports")
    encoded = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    assert any(headers.get("Authorization") == f"Basic {encoded}" for _, _, headers in server.asked)
    for folder in ("results", "reports"):
        for file in (tmp_path / folder).rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert PASSWORD.encode() not in content, file
                assert encoded.encode() not in content, file
    assert "# the old one: http://***@host/v1" in run.manifest.suite_text
    again = harness.gate(run, results=tmp_path / "results")
    assert again.exit_code == run.exit_code
    assert parse_suite(run.manifest.suite_text, tmp_path / "suite.yaml").hash == run.manifest.suite_hash


WORD = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=20).filter(
    lambda each: not set(each) & set("/?#@%'\"\\<>&")
)


@pytest.mark.fault("kind: secrets", "random passwords and parameters in addresses, written in random ways of YAML")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=WORD, password=WORD, way=st.sampled_from(["plain", "escaped", "folded", "quoted", "parameter"]))
def test_a_suite_is_kept_without_its_passwords(tmp_path: Path, user: str, password: str, way: str) -> None:
    """Whatever way it is written in; the rest of the suite is what it was, and its hash is that of what is kept."""
    address = f"http://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:8000/v1"
    if way == "parameter":
        address = f"http://127.0.0.1:8000/v1?api_key={quote(password, safe='')}"
    secret = quote(password, safe="")
    written = {
        "plain": f"'{address}'",
        "parameter": f"'{address}'",
        "quoted": json.dumps(address),
        "escaped": '"' + "".join(f"\\x{ord(each):02x}" for each in address) + '"',
        "folded": '"' + address[:12] + "\\\n      " + address[12:] + '"',
    }[way]
    loaded = parse_suite(SUITE.format(url=written, password="x"), tmp_path / "suite.yaml")
    assert loaded.suite.variants["live"].url == address
    assert secret not in loaded.text
    assert secret not in str(loaded.hash)
    again = parse_suite(loaded.text, tmp_path / "suite.yaml")
    assert again.hash == loaded.hash
    assert again.text == loaded.text
    assert again.suite.tasks == loaded.suite.tasks
    assert "127.0.0.1:8000/v1" in str(again.suite.variants["live"].url)


def test_a_mistake_beside_a_password_shows_no_password(tmp_path: Path) -> None:
    """Messages quote what came, addresses without who asks."""
    text = SUITE.format(url=f"http://admin:{PASSWORD}@host/v1", password=PASSWORD).replace("url:", "adress:")
    text += f"alpha: http://admin:{PASSWORD}@host\n"
    with pytest.raises(SuiteError) as raised:
        parse_suite(text, tmp_path / "suite.yaml")
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("key", [KEY, "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"])
def test_a_key_in_the_place_of_its_variable_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    """The key itself never stands in a suite, which is stored and shown."""
    text = SUITE.format(url=f"http://host/v1, endpoint: {{api_key_env: {key}}}", password="x")
    with pytest.raises(SuiteError, match="expected the name of an environment variable") as raised:
        parse_suite(text, tmp_path / "suite.yaml")
    assert not leaks(str(raised.value), key)


@pytest.mark.parametrize("url", [f"http://u:{PASSWORD}/x@h/v1", f"ftp://u:{PASSWORD}@h", "x"])
def test_an_address_that_is_none_shows_no_password(url: str) -> None:
    """Neither does the message that says so."""
    with pytest.raises(EngineError, match="expected an address") as raised:
        load(LoadSpec(variant="v", engine="served", path=url))
    assert PASSWORD not in str(raised.value)
