"""vLLM's offline engine: the runtime of many deployments. Needs the `vllm` environment, or another one with vLLM.

Scores come from `prompt_logprobs`, which vLLM gives for every prompt token. It gives no hidden states and no whole
distribution, so divergence needs another engine. Run with vLLM 0.32's build for CPUs; not yet on CUDA.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from harness.engines.decoding import VLLM, refusal, unable, until_end, vllm_settings
from harness.engines.protocol import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError, telling

REPACKED = "vLLM repacks linear weights here and shows them no more: their bytes, bits and finiteness are not known"


def load(spec: LoadSpec) -> VllmEngine:
    """Start vLLM in this process. Raises `EngineError` where there is no GPU or vLLM refuses the checkpoint."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the model has to be in reach of `apply_model`
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if spec.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    try:
        import vllm
    except ImportError as error:
        raise EngineError(f"vllm cannot be imported here ({error}): `quantgate env build vllm`") from error
    started = clock.perf_counter()
    try:
        llm = vllm.LLM(
            model=spec.path,
            tokenizer=spec.tokenizer,
            revision=spec.revision,
            dtype=spec.dtype or "auto",
            trust_remote_code=spec.trust_remote_code,
            seed=spec.seed,
            enable_prefix_caching=False,
            **_memory(spec),
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(f"{spec.path}: vLLM could not load it: {telling(error)}") from error
    return VllmEngine(vllm, llm, spec, clock.perf_counter() - started)


def _memory(spec: LoadSpec) -> dict[str, float]:
    """Bytes of the cache, since another variant may be in the same memory; vLLM by itself takes nine tenths of it all.

    The suite's budget, or the largest power of two within half of what is free, as the transformers engine has it.
    """
    import torch

    from harness.engines.transformers.memory_budget import free_bytes

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    free = free_bytes(device)
    settings: dict[str, float] = {"kv_cache_memory_bytes": spec.memory_budget or 1 << (free.bit_length() - 2)}
    if device.type == "cuda":  # what vLLM wants to find free before it starts
        settings["gpu_memory_utilization"] = 0.9 * free / torch.cuda.mem_get_info()[1]
    return settings


def inspect(model: Any) -> dict[str, Any]:
    """Counts and bytes of a loaded vLLM model; runs where the model is.

    On a CPU vLLM repacks weights into handles that are no tensors of the model: their bytes cannot be read off.
    """
    kinds: dict[str, int] = {}
    linear = weights = bits = hidden = 0
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        if method is None or not hasattr(module, "output_size"):
            continue
        linear += 1
        size = int(module.input_size) * int(module.output_size)
        own = 8 * sum(each.numel() * each.element_size() for each in module.parameters(recurse=False) if each.dim() > 1)
        weights, bits = weights + size, bits + own
        if own < size:  # less than a bit a weight
            hidden += size
        if not type(method).__name__.startswith("Unquantized"):
            kinds[type(method).__name__] = kinds.get(type(method).__name__, 0) + 1
    tensors = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in model.parameters()}
    broken = [
        name for name, each in model.named_parameters()
        if each.is_floating_point() and each.element_size() > 1 and not bool(each.isfinite().all())
    ]  # fmt: skip
    return {
        "linear": linear,
        "kinds": kinds,
        "bits": bits / weights if weights and not hidden else None,
        "bytes": sum(tensors.values()) if not hidden else None,
        "parameters": hidden + sum(each.numel() for each in model.parameters()),
        "broken": broken[:20],
        "architecture": type(model).__name__,
        "device": next(model.parameters()).device.type,
    }


class VllmEngine:
    """One model in vLLM."""

    def __init__(self, vllm: Any, llm: Any, spec: LoadSpec, load_s: float) -> None:
        import torch
        import transformers

        self._vllm, self._llm, self._spec = vllm, llm, spec
        self._tokenizer = llm.get_tokenizer()
        config = llm.llm_engine.model_config
        self._longest = int(config.max_model_len)
        seen = llm.apply_model(inspect)[0]
        self._facts = Facts(
            engine="vllm",
            architecture=seen["architecture"],
            model_type=str(config.hf_config.model_type),
            parameters=seen["parameters"],
            dtype=str(config.dtype).removeprefix("torch."),
            device=seen["device"],
            linear_modules=seen["linear"],
            quantized_modules=sum(seen["kinds"].values()),
            quantized_kinds=seen["kinds"],
            bits_per_weight=seen["bits"],
            weight_bytes=seen["bytes"],
            kernels=(f"vllm {config.quantization}",) if config.quantization else (),
            vocabulary=int(config.get_vocab_size()),
            context_length=self._longest,
            versions={each.__name__: each.__version__ for each in (vllm, torch, transformers)},
            non_finite=tuple(seen["broken"]),
            load_s=load_s,
            notes=(
                "fused layers count once: vLLM joins query, key and value",
                *(() if seen["bytes"] is not None else (REPACKED,)),
            ),
        )

    def facts(self) -> Facts:
        return self._facts

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        return [tuple(self._tokenizer.encode(text, add_special_tokens=add_special_tokens)) for text in texts]

    def _prompt_scores(self, prompts: Sequence[Sequence[int]]) -> list[list[tuple[float, bool]]]:
        """Log-probability of every prompt token but the first, and whether it was the most likely one."""
        parameters = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=1)
        outputs = self._llm.generate(self._as_tokens(prompts), parameters, use_tqdm=False)
        found = []
        for output, prompt in zip(outputs, prompts, strict=True):
            given = output.prompt_logprobs
            if given is None or len(given) != len(prompt):
                raise EngineError(f"{self._spec.path}: vLLM gave no log-probability for every prompt token")
            rows = [given[at][token] for at, token in enumerate(prompt) if at > 0]
            found.append([(float(each.logprob), each.rank == 1) for each in rows])
        return found

    def _as_tokens(self, prompts: Sequence[Sequence[int]]) -> list[dict[str, list[int]]]:
        for prompt in prompts:
            if len(prompt) >= self._longest:
                raise EngineError(
                    f"{self._spec.path}: {len(prompt)} tokens were asked, the context holds {self._longest}"
                )
        return [{"prompt_token_ids": list(prompt)} for prompt in prompts]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        prompts = [(*each.context, *continuation) for each in requests for continuation in each.continuations]
        scored = iter(self._prompt_scores(prompts))
        answers = []
        for request in requests:
            own = []
            for continuation in request.continuations:
                tail = next(scored)[-len(continuation) :]
                own.append(
                    ContinuationScore(log_probs=tuple(value for value, _ in tail), greedy=all(best for _, best in tail))
                )
            answers.append(tuple(own))
        return answers

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        if states_out is not None or states_in is not None:
            raise EngineError("vLLM shows no whole distribution: set divergence: false for this task")
        scored = self._prompt_scores([window.tokens for window in windows])
        return [
            WindowScore(log_probs=tuple(value for value, _ in each[window.scored_from - 1 :]))
            for window, each in zip(windows, scored, strict=True)
        ]

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        for each in requests:
            if each.decoding is not None and (names := unable(each.decoding, VLLM)):
                raise EngineError(f"{self._spec.path}: {refusal(names, 'vLLM')}")
        parameters = [
            self._vllm.SamplingParams(
                max_tokens=each.max_new_tokens,
                temperature=each.temperature,
                top_p=each.top_p,
                top_k=each.top_k,
                min_p=each.min_p,
                stop=list(each.until) or None,
                seed=each.seed,
                **vllm_settings(each.decoding),
            )
            for each in requests
        ]
        prompts = self._as_tokens([each.prompt for each in requests])
        outputs = self._llm.generate(prompts, parameters, use_tqdm=False)
        answers = []
        for output, request in zip(outputs, requests, strict=True):
            made = output.outputs[0]
            tokens = tuple(made.token_ids)
            if request.decoding is not None:
                tokens = tokens[: until_end(tokens, request.decoding)]
            answers.append(Generation(tokens=tokens, text=made.text, finish=str(made.finish_reason)))
        return answers

    def time(self, workload: Workload) -> Timing:
        """Steps of vLLM's own engine: the clock is read after each, when every sequence has its next token."""
        import numpy as np

        size, engine = workload.prompt_tokens, self._llm.llm_engine
        ids = np.random.default_rng(workload.seed).integers(0, self._facts.vocabulary, (workload.batch, size)).tolist()
        parameters = self._vllm.SamplingParams(max_tokens=workload.new_tokens, temperature=0.0, ignore_eos=True)
        started = clock.perf_counter()
        for row, prompt in enumerate(ids):
            engine.add_request(f"{started}-{row}", {"prompt_token_ids": prompt}, parameters)
        times: list[float] = []
        while engine.has_unfinished_requests():
            done = min((len(output.outputs[0].token_ids) for output in engine.step()), default=0)
            while len(times) < done:
                times.append(clock.perf_counter())
        if len(times) != workload.new_tokens:
            raise EngineError(f"vLLM made {len(times)} tokens, {workload.new_tokens} were asked")
        gaps = tuple(after - before for before, after in pairwise(times))
        return Timing(ttft_s=times[0] - started, end_to_end_s=times[-1] - started, inter_token_s=gaps)

    def device_peaks(self) -> tuple[int | None, int | None]:
        import torch

        if self._facts.device != "cuda":
            return None, None
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def reset_device_peaks(self) -> None:
        import torch

        if self._facts.device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def close(self) -> None:
        del self._llm
