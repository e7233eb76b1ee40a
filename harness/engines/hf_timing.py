"""Timing runs of an exact shape."""

from __future__ import annotations

import time as clock
from typing import Any

from harness.engines.hf_load import core_of, input_device
from harness.engines.seam import Timing, Workload


def time_workload(model: Any, workload: Workload) -> Timing:
    """Prefill and one-token steps with a key-value cache over random tokens; end of text is ignored."""
    import torch

    core = core_of(model)
    vocabulary = int(core.config.get_text_config().vocab_size)
    source = torch.Generator().manual_seed(workload.seed)
    ids = torch.randint(0, vocabulary, (workload.batch, workload.prompt_tokens), generator=source)
    device = input_device(model)
    ids = ids.to(device)
    with torch.no_grad():
        _wait(device)
        started = clock.perf_counter()
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        token = output.logits[:, -1].argmax(-1, keepdim=True).to(device)
        _wait(device)
        first = last = clock.perf_counter()
        gaps = []
        for _ in range(workload.new_tokens - 1):
            output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1)
            token = output.logits[:, -1].argmax(-1, keepdim=True).to(device)
            _wait(device)
            now = clock.perf_counter()
            gaps.append(now - last)
            last = now
    return Timing(ttft_s=first - started, end_to_end_s=last - started, inter_token_s=tuple(gaps))


def _wait(device: Any) -> None:
    """Until the device has done what it was told; CUDA runs behind the clock otherwise."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
