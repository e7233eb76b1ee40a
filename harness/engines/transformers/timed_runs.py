"""Timing runs of an exact shape."""

from __future__ import annotations

import inspect
import time as clock
from itertools import pairwise
from typing import Any

from harness.engines.protocol import Timing, Workload
from harness.engines.transformers.loading import core_of, input_device

STATES = ("past_key_values", "cache_params", "state")
"""Names under which models hand on what they keep of earlier tokens: attention's, Mamba's and RWKV's."""


def time_workload(model: Any, workload: Workload) -> Timing:
    """Prefill and one-token steps with the model's own cache over random tokens; end of text is ignored.

    A model without a cache reads everything again at every step, as it does when it answers.
    """
    import torch

    core = core_of(model)
    settings = {"use_cache": True, **_last_position(core)}
    vocabulary = int(core.config.get_text_config().vocab_size)
    source = torch.Generator().manual_seed(workload.seed)
    ids = torch.randint(0, vocabulary, (workload.batch, workload.prompt_tokens), generator=source)
    device = input_device(model)
    ids = ids.to(device)
    marks: list[float] = []
    kept: dict[str, Any] = {}
    with torch.no_grad():
        _wait(device)
        started = clock.perf_counter()
        for _ in range(workload.new_tokens):
            output = model(input_ids=ids, **kept, **settings)
            token = output.logits[:, -1].argmax(-1, keepdim=True).to(device)
            _wait(device)
            marks.append(clock.perf_counter())
            kept = _kept(output)
            ids = token if kept else torch.cat((ids, token), dim=1)
    gaps = tuple(after - before for before, after in pairwise(marks))
    return Timing(ttft_s=marks[0] - started, end_to_end_s=marks[-1] - started, inter_token_s=gaps)


def _kept(output: Any) -> dict[str, Any]:
    """What the next step takes over from this one."""
    found = ((name, getattr(output, name, None)) for name in STATES)
    return next(({name: states} for name, states in found if states is not None), {})


def _last_position(core: Any) -> dict[str, int]:
    """What keeps a model from computing logits for the whole prompt, where it knows such a word."""
    known = inspect.signature(core.forward).parameters
    return next(({name: 1} for name in ("logits_to_keep", "num_logits_to_keep") if name in known), {})


def _wait(device: Any) -> None:
    """Wait until the device has finished; CUDA is asynchronous otherwise."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
