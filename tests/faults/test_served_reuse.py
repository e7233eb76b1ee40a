"""Another model behind the same address is noticed before anything stored is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="a served model needs quantgate[served]")
pytest.importorskip("tenacity", reason="a served model needs quantgate[served]")

import harness
from harness.engines.served.fake import Answer, FakeServer
from harness.records.store import Store
from tests.engines.served.fake_servers import plain


class Deployment:
    """A server whose model, and what it says of it, can be replaced."""

    def __init__(self) -> None:
        self.model, self.name = 0, "tiny"
        self.asked = 0
        echo = plain(echo=True)

        def pages(path: str, body: dict[str, Any]) -> Answer:
            if path == "/v1/models":
                return Answer({"data": [{"id": "m", "owned_by": "somebody", "root": self.name}]})
            if path == "/v1/completions":
                self.asked += 1
                first, *rest = body["prompt"]
                body = {**body, "prompt": [first + self.model, *rest]}
            return echo(path, body)

        self.server = FakeServer(pages)


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    made = Deployment()
    yield made
    made.server.close()


def suite(folder: Path, url: str) -> Path:
    rows = [{"q": f"Question {number}?", "a": "yes", "b": "no"} for number in range(40)]
    (folder / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"data": "ask.jsonl", "prompt": "{{q}}"}
    path = folder / "suite.yaml"
    content = {
        "suite": "served",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}, "live": {"url": url}},
        "tasks": {
            "ask": {"choice": {**asked, "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}},
            "say": {"generate": {**asked, "answer": "{{a}}", "max_new_tokens": 3}},
        },
        "gates": [{"task": "ask", "metric": "acc", "max_drop": 0.5}],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.fault(
    "M1", "other weights behind the same address, the server says the same", "its answers differ: asked anew"
)
@pytest.mark.fault("M1", "a server that says of itself that it has other weights", "another identity")
@pytest.mark.fault("M18", "a password in the address", "it is in no evaluation")
def test_a_replaced_model_is_asked_anew(tmp_path: Path, deployment: Deployment) -> None:
    """The same model is probed and its answers are used; another one is asked everything; back is another one again.
    Earlier runs keep what they had."""
    url = deployment.server.url.replace("://", "://user:secret@")
    path, results = suite(tmp_path, f"{url}/v1"), tmp_path / "results"

    def run() -> tuple[dict[str, str], int]:
        before = deployment.asked
        found = harness.run(path, results=results, offline=True).manifest.variants["live"]
        assert found.failure is None, found.failure
        return found.evaluations, deployment.asked - before

    first, whole = run()
    same, few = run()
    assert same == first
    assert 0 < few < whole / 2
    deployment.model = 1
    replaced, asked = run()
    assert asked >= whole
    assert not set(replaced.values()) & set(first.values())
    assert run()[0] == replaced
    deployment.name = "other"
    renamed, _ = run()
    assert not set(renamed.values()) & set(replaced.values())
    store = Store(results)
    for key in (*first.values(), *replaced.values()):
        manifest = store.evaluation(key)
        assert manifest is not None
        assert "secret" not in manifest.model_dump_json()
