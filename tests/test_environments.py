"""The environments that tests run in: what is made of one that could not be built, and of one that takes too long."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pytest

from harness.methods import METHODS
from tests.environments import build_in_time, built, limit_s, needed

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTGATE_CACHE", str(tmp_path / "cache"))


def test_what_could_not_be_built_fails_with_its_reason(tmp_path: Path) -> None:
    """A failure by name, never a silent skip; where nobody tried, a skip that names the command."""
    tried = tmp_path / "tried.json"
    with pytest.raises(pytest.skip.Exception, match="autoawq is not built here: make environments"):
        built("autoawq", tried)
    tried.write_text(json.dumps({needed()["gptqmodel"].key: "No matching distribution"}))
    with pytest.raises(pytest.skip.Exception, match="autoawq is not built here"):
        built("autoawq", tried)
    with pytest.raises(pytest.fail.Exception, match=r"gptqmodel could not be built .*: No matching distribution"):
        built("gptqmodel", tried)


def test_a_build_has_a_limit() -> None:
    """At its limit all its processes end, also those it started; its last words are kept when it fails by itself."""
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    started = time.monotonic()
    assert build_in_time([sys.executable, "-c", child], 1.0) == "not built after 1 s"
    assert time.monotonic() - started < 30
    assert build_in_time([sys.executable, "-c", "import sys; sys.exit('no space left')"], 60) == "no space left"
    assert build_in_time([sys.executable, "-c", ""], 60) is None
    assert all(600 <= limit_s(environment) <= 2400 for environment in needed().values())


def test_every_environment_of_a_method_is_built_before_the_tests() -> None:
    """What a row's tools name is in the step, save what needs a GPU; and no test builds one."""
    named = {tool.environment for method in METHODS.values() for tool in method.tools}
    named |= {method.environment for method in METHODS.values() if method.environment is not None}
    assert named <= set(needed())
    builds = re.compile(r"environments\(\)\.build\(")
    found = [path for path in (ROOT / "tests").rglob("*.py") if builds.search(path.read_text())]
    assert found == [ROOT / "tests" / "environments.py"]
