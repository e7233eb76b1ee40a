"""Starts a module of quantgate as a process of its own in any interpreter, as a script and never imported there:

    python -s start.py harness.worker.main --requests 3 --replies 4

`harness` becomes importable from this file's folder, without its neighbours in site-packages. The parent process
asks `command`. Standard library only.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def command(interpreter: Path | None, module: str) -> list[str]:
    """What starts a module's `main(arguments)`; the arguments are put behind it. None is this interpreter."""
    return [str(interpreter or sys.executable), "-s", str(Path(__file__)), module]


def register_package(root: Path) -> None:
    spec = spec_from_file_location("harness", root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)


def die_with_the_driver() -> None:
    """On Linux the kernel ends this process when its parent dies, even in mid-computation."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    die_with_the_driver()
    folder = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
    register_package(folder)
    import_module(sys.argv[1]).main(sys.argv[2:])
