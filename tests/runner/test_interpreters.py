"""Where a variant runs: `check`, `run` and `env` ask the same functions, and what they decide is in the identity."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.commands.environments import build, print_path
from harness.errors import EngineError, SuiteError, UsageError
from harness.runner.interpreters import environments
from harness.runner.loader_libraries import Source, reader_of
from harness.runner.preflight import preflight_problems
from harness.runner.variants import resolve_variant
from harness.suite.load import LoadedSuite, load_suite
from harness.suite.locations import ModelLocation
from harness.suite.variant_model import Variant
from harness.worker.environments import MARK, shipped
from harness.worker.versions import gpu_count
from tests.methods.test_installed import distribution

COMMIT = "a" * 40
GPTQ = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, in which no environment is built."""
    monkeypatch.setenv("QUANTGATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def suite(tmp_path: Path, **variant: object) -> LoadedSuite:
    """A full-precision model and one further variant."""
    folder(tmp_path / "model", {})
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\n')
    spec = {
        "suite": "places",
        "model": "./model",
        "variants": {"full": {"baseline": True, "dtype": "float32"}, "small": variant},
        "tasks": {"read": {"perplexity": {"data": "texts.jsonl"}}},
    }
    path = tmp_path / "my suite.yaml"
    path.write_text(json.dumps(spec))
    return load_suite(path)


def folder(path: Path, config: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    return path


def pretend_built(name: str) -> Path:
    """A shipped environment's folder with an interpreter, its mark and no libraries. Returns its site-packages."""
    place = environments().folder(shipped()[name])
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (place / MARK).write_text("{}")
    (site,) = place.glob("lib/python*/site-packages")
    return site


def refusal(loaded: LoadedSuite) -> str:
    """What `check` says against the variant; `run` has to refuse it with the same words."""
    (said,) = preflight_problems(loaded)
    with pytest.raises(EngineError) as raised:
        resolve_variant(loaded, "small", offline=True)
    assert said == f"small: {raised.value}"
    return said


# -- what a checkpoint's reader is, and its version


def test_the_readers_version_is_in_the_identity(tmp_path: Path) -> None:
    """A folder that somebody else quantized: another version of gptqmodel makes other results."""
    folder(tmp_path / "quantized", GPTQ)
    loaded = suite(tmp_path, path="./quantized")
    site = pretend_built("gptqmodel")
    seen = []
    for version in ("7.6.0", "7.7.0"):
        distribution(site, "GPTQModel", version, "gptqmodel")
        found = resolve_variant(loaded, "small", offline=True)
        seen.append((found.runtime.name, found.versions["gptqmodel"]))
        (site / f"GPTQModel-{version}.dist-info").rename(tmp_path / version)
    assert seen == [("gptqmodel", "7.6.0"), ("gptqmodel", "7.7.0")]


@pytest.mark.parametrize(
    ("config", "packages"),
    [
        ({}, ()),
        (GPTQ, ("gptqmodel", "optimum", "auto_gptq")),
        ({"quantization_config": {"quant_method": "awq"}}, ("gptqmodel", "optimum", "awq")),
        ({"quantization_config": {"quant_method": "auto-round"}}, ("gptqmodel", "optimum", "auto_gptq", "auto_round")),
        ({"quantization_config": {"quant_method": "compressed_tensors"}}, ("compressed_tensors",)),
        ({"quantization_config": {"quant_method": "aqlm"}}, ("aqlm",)),
        ({"quantization_config": {"quant_method": "--help me"}}, ()),
        ({"quantization_config": {"bits": 4}}, ()),
        ({"quantization_config": None}, ()),
        ([], ()),
    ],
)
def test_what_reads_a_folder(tmp_path: Path, config: object, packages: tuple[str, ...]) -> None:
    """The libraries of the method that its configuration names, known to quantgate or not."""
    place = ModelLocation(path=str(folder(tmp_path / "m", config)), is_hub=False)
    assert reader_of(Variant(), Source(place=place)).packages == packages
    assert reader_of(Variant(adapter="x"), Source(place=place)).packages == (*packages, "peft")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "expected valid JSON"),
        ('{"quantization_config": "gptq"}', 'quantization_config: expected a mapping, got "gptq"'),
    ],
)
def test_a_configuration_that_cannot_be_read(tmp_path: Path, text: str, says: str) -> None:
    """Named with its file, by `check` and by `run`."""
    (folder(tmp_path / "m", {}) / "config.json").write_text(text)
    said = refusal(suite(tmp_path, path="./m"))
    assert says in said
    assert str(tmp_path / "m" / "config.json") in said


@pytest.mark.parametrize(
    ("adapter", "says"), [("./gone", "no model folder at ./gone"), ("./model", "has no adapter_config.json")]
)
def test_an_adapter_that_is_none(tmp_path: Path, adapter: str, says: str) -> None:
    """Found by `check`, before anything is loaded."""
    (said,) = preflight_problems(suite(tmp_path, adapter=adapter))
    assert says in said


# -- hub ids


ASK = """
import sys
from harness.errors import EngineError
from harness.runner.loader_libraries import Source, reader_of
from harness.suite.variant_model import Variant
from harness.suite.locations import ModelLocation
for asked in sys.argv[2:]:
    name, _, revision = asked.partition("@")
    place, offline = ModelLocation(path=name, is_hub=True), sys.argv[1] == "off"
    source = Source(place=place, revision=revision or None, offline=offline)
    try:
        found = reader_of(Variant(), source)
        print(found.method.name if found.method else None, *found.packages)
    except EngineError as error:
        print(error)
"""


def ask_hub(home: Path, endpoint: str, mode: str, *names: str) -> list[str]:
    """What reads each hub id, said by a process with a hub cache of its own. `mode`: on or off the network."""
    variables = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "PATH": "", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", ASK, mode, *names]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout.splitlines()


def cached(home: Path, name: str, file: str, content: object) -> None:
    """A repository at revision main, as the hub's library lays it out."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    (place / "snapshots" / COMMIT).mkdir(parents=True)
    (place / "snapshots" / COMMIT / file).write_text(json.dumps(content))


@contextmanager
def hub() -> Iterator[tuple[str, list[str]]]:
    """A hub that has one repository, with a GPTQ configuration and nothing else, and remembers what it was asked."""
    asked: list[str] = []
    body = json.dumps(GPTQ).encode()

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            there = self.path.startswith("/acme/gptq/resolve/v2/config.json")
            error = "EntryNotFound" if "/acme/gguf/" in self.path else "RepoNotFound"
            self.send_response(200 if there else 404)
            for name, value in {
                "X-Repo-Commit": "b" * 40,
                **({"ETag": '"1"'} if there else {"X-Error-Code": error}),
            }.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if there else 0))
            self.end_headers()
            if there and self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 the name that http.server looks for

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_hub_ids_configuration_is_read_at_its_revision(tmp_path: Path) -> None:
    """From the cache offline, where no hub is asked; from the hub otherwise, whose refusal is told."""
    home = tmp_path / "home"
    cached(home, "acme/cached", "config.json", GPTQ)
    cached(home, "acme/adapter", "adapter_config.json", {})
    names = ("acme/cached", f"acme/cached@{COMMIT}", "acme/adapter", "acme/gptq@v2", "acme/none")
    with hub() as (endpoint, asked):
        found = ask_hub(home, endpoint, "off", *names)
        assert [path for path in asked if "acme" in path] == []
        assert found[:3] == ["gptq gptqmodel optimum auto_gptq"] * 2 + ["None"]
        assert found[3] == (
            "acme/gptq (revision v2): its config.json is not in the local cache, and offline no hub is asked; fetch it "
            "before: `hf download acme/gptq --revision v2`"
        )
        online = ask_hub(home, endpoint, "on", "acme/gptq@v2", "acme/gguf", "acme/none")
        assert online[:2] == ["gptq gptqmodel optimum auto_gptq", "None"]
        assert online[2].startswith("acme/none (revision main): its config.json could not be fetched: 404")
        assert ask_hub(home, endpoint, "off", "acme/gptq@v2") == online[:1]
    (dead,) = ask_hub(home, "http://127.0.0.1:9", "on", "acme/other")
    assert dead.startswith(
        "acme/other (revision main): its config.json is not in the local cache, and the hub could not"
    )


# -- check and run say the same


def test_a_prequantized_folder_without_its_reader(tmp_path: Path) -> None:
    """The environment that has it is named, and `env build` and `env path` know it too."""
    folder(tmp_path / "quantized", GPTQ)
    loaded = suite(tmp_path, path="./quantized")
    assert "needs environment gptqmodel, not built here: `quantgate env build gptqmodel`" in refusal(loaded)
    with pytest.raises(EngineError, match="environment gptqmodel is not built"):
        print_path(str(loaded.path))


def test_what_is_no_interpreter(tmp_path: Path) -> None:
    """A file that is none, and one that is not there."""
    assert refusal(suite(tmp_path, environment="/etc/passwd")) == (
        "small: environment /etc/passwd: this is no Python interpreter that runs here: Permission denied"
    )
    assert "no such interpreter" in refusal(suite(tmp_path, environment="./nowhere/python"))
    scripted = {"engine": "scripted", "script": {}, "environment": "/etc/passwd"}
    assert "no Python interpreter" in refusal(suite(tmp_path, **scripted))


@pytest.mark.skipif(gpu_count() > 0, reason="a GPU is visible here")
def test_an_environment_for_gpus(tmp_path: Path) -> None:
    """Nobody is sent to build for ten minutes what then refuses."""
    loaded = suite(tmp_path, engine="vllm")
    assert refusal(loaded) == "small: environment vllm needs a CUDA GPU, and none is visible here"
    with pytest.raises(EngineError, match="environment vllm needs a CUDA GPU"):
        build(str(loaded.path))


def test_requirements_in_the_suite_name_the_suite(tmp_path: Path) -> None:
    """The command can be pasted: the suite's own path, quoted for a shell."""
    loaded = suite(tmp_path, environment=["torch==2.13.0", "transformers==5.23.0"])
    assert refusal(loaded) == (
        "small: needs environment of torch==2.13.0, transformers==5.23.0, not built here: "
        f"`quantgate env build '{loaded.path}'` (about 2 min)"
    )


def test_a_suite_that_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Full precision needs none; weights that are not there are said to be unknown, not to need none."""
    with pytest.raises(UsageError, match="need no environment of their own"):
        print_path(str(suite(tmp_path, path="./model", dtype="bfloat16").path))
    with pytest.raises(EngineError, match="none of its other variants"):
        print_path(str(suite(tmp_path, path="./later").path))
    assert "small: no model folder at ./later" in capsys.readouterr().err
    with pytest.raises(SuiteError):
        resolve_variant(suite(tmp_path, path="./later"), "small", offline=True)
