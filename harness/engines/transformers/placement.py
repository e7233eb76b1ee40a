"""Where a model's weights really lie: on a device, or kept in memory or on disk and moved for every pass.

accelerate leaves an empty `meta` tensor in a module whose weights it keeps elsewhere; its hook on the module knows
where they are. Owns the reading of those hooks, by their attributes: accelerate need not be installed for a model
without any.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.engines.protocol import SCRATCH, LoadSpec
from harness.errors import EngineError, telling

UNPLACED = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What libraries raise for a placement that they cannot do."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One tensor of a module, and where its values are."""

    module: Any
    name: str
    """Parameter or buffer; empty for a tensor that is there itself."""
    tensor: Any
    """As the module shows it: with its values, or empty on `meta`."""
    place: str
    """`cuda:0`, `cpu`, … or `disk`."""
    storage: Hashable
    """Equal for tensors that share their bytes."""

    def values(self) -> Any:
        """The tensor with its values. Those kept on disk are read again at every call."""
        return values_of(self.module, self.name) if self.name else self.tensor


def held(module: Any, tensors: Iterable[Any]) -> Iterator[Held]:
    """Where each of a module's own tensors is. Raises `EngineError` for one whose values are nowhere to be found."""
    own = (*module._parameters.items(), *module._buffers.items())
    names = {id(value): name for name, value in own if value is not None}
    for tensor in tensors:
        if tensor.device.type != "meta":
            place, address = str(tensor.device), tensor.untyped_storage().data_ptr()
            yield Held(module=module, name="", tensor=tensor, place=place, storage=(place, address))
            continue
        if (name := names.get(id(tensor))) is None:
            raise _lost(module, "a tensor")
        place, storage = kept_at(module, name)
        yield Held(module=module, name=name, tensor=tensor, place=place, storage=storage)


def values_of(module: Any, name: str) -> Any:
    """Parameter or buffer `name` of a module with its values, from wherever they are kept."""
    shown = getattr(module, name)
    return shown if shown.device.type != "meta" else _keeper(module, name)[name]


def runs_on(module: Any) -> Any:
    """The device on which a module with a `weight` computes."""
    import torch

    mover = _mover(module)
    if mover is not None and mover.execution_device is not None:
        return torch.device(mover.execution_device)
    return module.weight.device


def is_moved(model: Any) -> bool:
    """Whether accelerate moves weights or activations of any module."""
    return any(_mover(module) is not None for module in model.modules())


def places(placed: Mapping[str, object] | None, runs: str) -> str:
    """Every place of the device map, GPUs first, with the device that computes where only weights lie elsewhere."""
    names = {f"cuda:{value}" if isinstance(value, int) else str(value) for value in (placed or {}).values()}
    if not any(name.partition(":")[0] == runs.partition(":")[0] for name in names):
        names.add(runs)
    return ",".join(sorted(names, key=lambda name: (not name.startswith("cuda"), name)))


def places_note(sizes: Mapping[str, int], runs: str) -> str | None:
    """Bytes by place, where there are several or the weights are moved. `runs`: the device that computes."""
    if set(sizes) <= {runs}:
        return None
    said = [f"{size:,} bytes on {place}" for place, size in sizes.items()]
    moved = [place for place in sizes if place == "disk" or (place == "cpu" and runs != "cpu")]
    how = f"; what lies on {' and '.join(moved)} is moved to {runs} for every pass" if moved else ""
    return f"weights: {', '.join(said)}{how}"


@contextmanager
def device_placement(spec: LoadSpec) -> Iterator[str | None]:
    """Errors of a model placed by a device map name the keys that placed it.

    Yields a new folder for weights that the map puts on disk and that no file has as they are needed, None without a
    map. It is removed when the block fails; after that the model's owner removes it.
    """
    if spec.device_map is None:
        yield None
        return
    import torch

    asked = f"device_map: {spec.device_map}"
    asked += f" and max_memory: {dict(spec.max_memory)}" if spec.max_memory is not None else ""
    folder = tempfile.mkdtemp(prefix="quantgate-offload-", dir=os.environ.get(SCRATCH))
    try:
        yield folder
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, UNPLACED) or isinstance(error, torch.OutOfMemoryError):
            raise
        first = telling(error).rstrip(".")
        raise EngineError(
            f"{spec.path}: with {asked}: {first}. If it loads without device_map, this placement does not work "
            "for it: leave device_map out, or give max_memory enough that nothing lies on cpu or disk"
        ) from error


def check_places(spec: LoadSpec) -> None:
    """Raises `EngineError` for a GPU that is not there and for limits that nothing reads."""
    import torch

    if spec.device_map is None:
        if spec.max_memory is not None:
            raise EngineError("max_memory limits what device_map: auto places; this variant has no device_map")
        return
    placed = (spec.device_map,) if isinstance(spec.device_map, str) else tuple(spec.device_map.values())
    named: dict[str, tuple[str | int, ...]] = {"device_map": placed, "max_memory": tuple(spec.max_memory or ())}
    count = torch.cuda.device_count()
    for key, devices in named.items():
        for device in devices:
            number = str(device).removeprefix("cuda:")
            if (number.isdigit() and int(number) >= count) or (device == "cuda" and not count):
                what = f"names GPU {number}" if number.isdigit() else "names cuda"
                seen = f"{count} GPUs are visible here" if count != 1 else "one GPU is visible here, GPU 0"
                raise EngineError(f"{key} {what}, and {seen}; name one of those, cpu or disk")


def _mover(module: Any) -> Any:
    """accelerate's hook that aligns devices, before all one that keeps weights; None without one."""
    aligning = [each for each in _hooks(getattr(module, "_hf_hook", None)) if hasattr(each, "weights_map")]
    return next((each for each in aligning if each.weights_map is not None), next(iter(aligning), None))


def _hooks(hook: Any) -> Iterator[Any]:
    """A hook, or those it chains; accelerate chains chains."""
    if (chained := getattr(hook, "hooks", None)) is None:
        yield hook
        return
    for each in chained:
        yield from _hooks(each)


def _keeper(module: Any, name: str) -> Any:
    """The mapping that has the values of an empty tensor."""
    mover = _mover(module)
    kept = None if mover is None else mover.weights_map
    if kept is None:
        raise _lost(module, name)
    return kept


def kept_at(module: Any, name: str) -> tuple[str, Hashable]:
    """Where an empty tensor's values are, and what identifies their bytes. Reads nothing from disk."""
    keeper = _keeper(module, name)
    whole = f"{getattr(keeper, 'prefix', '')}{name}"
    loader = getattr(keeper, "dataset", keeper)
    entry = None if whole in getattr(loader, "state_dict", {}) else getattr(loader, "index", {}).get(whole)
    if entry is not None:
        file = entry.get("safetensors_file")
        return "disk", ("disk", file, entry.get("weight_name", whole)) if file else ("disk", None, whole)
    try:
        tensor = keeper[name]
    except KeyError:
        raise _lost(module, name) from None
    return str(tensor.device), (str(tensor.device), tensor.untyped_storage().data_ptr())


def _lost(module: Any, name: str) -> EngineError:
    return EngineError(
        f"{name} of a {type(module).__name__} holds no values, and no hook of accelerate says where they are, so what "
        "was loaded cannot be inspected; leave device_map out, or give max_memory enough that nothing lies on disk"
    )
