"""Is a variant what it claims to be? Compares the share of quantized parameters, bits per weight and bytes with the
claim of `quantize:` or of the checkpoint's own configuration; and checks whether its weights are the baseline's."""

from __future__ import annotations

from harness.notation import bits_per_weight, percent, ratio
from harness.records.evaluation_manifest import EngineFacts
from harness.records.findings import Check
from harness.records.run_manifest import VariantRun
from harness.suite.variant_model import FULL_BITS, Variant

MOST_OVER = 1.5
SPARE_BITS = 2.0
"""A claim of b bits is rejected above 1.5 b + 2 resident bits per weight: 8 for 4, 14 for 8."""
LEAST = 0.5
"""Share of the weights of linear layers and experts that is quantized in a model that counts as quantized, whatever its
configuration excepts. Embeddings and output layer, which most methods leave, are in the sentence and in no limit: they
are 21 % of SmolLM2-135M and two thirds of Gemma-3-270M."""
WIDTHS = {"float32": 32.0, "float64": 64.0}


def quantized_check(run: VariantRun, facts: EngineFacts, spec: Variant | None, baseline: EngineFacts | None) -> Check:
    """Whether the claim holds; without a claim, what was found."""
    found = f"{facts.quantized_modules} of {facts.linear_modules} linear modules are quantized"
    bits = "" if facts.bits_per_weight is None else f", {bits_per_weight(facts.bits_per_weight)}"
    if not (run.must_be_quantized or _says_so_itself(facts, spec)):
        return Check(name="quantized", held=True, blocks=False, says=f"not claimed; {found}{bits}")
    if facts.quantized_modules == 0:
        says = (
            f"the variant claims to be quantized, but none of its {facts.linear_modules} linear modules is{bits} "
            f"({facts.dtype})"
        )
        return Check(name="quantized", held=False, blocks=True, says=says)
    if (why := _too_little(facts, baseline)) is not None:
        return Check(name="quantized", held=False, blocks=True, says=why)
    if facts.dequantised:
        says = f"{found} ({kinds_of(facts)}){_share(facts)}; {facts.dequantised}"
        return Check(name="quantized", held=True, blocks=True, says=says)
    if (why := _too_wide(facts, spec, found)) is not None:
        return Check(name="quantized", held=False, blocks=True, says=why)
    says = f"{found} ({kinds_of(facts)}){bits}{_share(facts)}{_over_all(facts, baseline)}"
    return Check(name="quantized", held=True, blocks=True, says=says)


def _says_so_itself(facts: EngineFacts, spec: Variant | None) -> bool:
    """Its own configuration claims to be quantized, and the suite does not say otherwise: a `dtype` or an adapter
    beside the path takes nothing back of that."""
    claims = facts.claimed_bits is not None and facts.claimed_bits < FULL_BITS
    return claims and spec is not None and spec.quantized is None and spec.quantize is None


def _too_little(facts: EngineFacts, baseline: EngineFacts | None) -> str | None:
    """Most of what is quantized in a quantized model is not."""
    packed, matrices = facts.packed_matrix_parameters, facts.matrix_parameters
    if packed is None or not matrices or packed >= LEAST * matrices:
        return None
    return (
        f"the variant claims to be quantized, but only {percent(packed / matrices)} of the weights of its linear "
        f"layers and experts are ({facts.quantized_modules} of {facts.linear_modules}: {kinds_of(facts)})"
        f"{_share(facts)}{_over_all(facts, baseline)}; set quantized: false to compare it all the same"
    )


def _too_wide(facts: EngineFacts, spec: Variant | None, found: str) -> str | None:
    """More bits than were claimed, apart from what the configuration excepts."""
    claimed, whose = facts.claimed_bits, "its config.json"
    if spec is not None and spec.quantize is not None:
        claimed, whose = spec.quantize.claimed_bits, "the variant"
    if claimed is None or facts.bits_per_weight is None:
        return None
    excepted = facts.excepted_parameters / facts.matrix_parameters if facts.matrix_parameters else 0.0
    most = (1 - excepted) * (MOST_OVER * claimed + SPARE_BITS) + excepted * WIDTHS.get(facts.dtype, 16.0)
    if facts.bits_per_weight <= most:
        return None
    return (
        f"{whose} claims {claimed:g} bits, but its linear modules take {bits_per_weight(facts.bits_per_weight)} "
        f"({found})"
    )


def _share(facts: EngineFacts) -> str:
    """Of all parameters, however large embeddings and output layer are."""
    if facts.packed_parameters is None or not facts.parameters:
        return ""
    return f", {percent(facts.packed_parameters / facts.parameters)} of all its parameters"


def _over_all(facts: EngineFacts, baseline: EngineFacts | None) -> str:
    if facts.weight_bytes is None or facts.packed_parameters is None or not facts.parameters:
        return ""
    says = f"; {bits_per_weight(8 * facts.weight_bytes / facts.parameters)} over all"
    if baseline is not None and baseline.weight_bytes:
        says += f", {ratio(facts.weight_bytes / baseline.weight_bytes)} the baseline's bytes"
    return says


def kinds_of(facts: EngineFacts) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(facts.quantized_kinds.items()))


def same_weights(one: EngineFacts, other: EngineFacts) -> bool | None:
    """Whether two loaded models hold the same values; None where that is unknown.

    Different digests prove different weights. Equal ones prove equal weights only where they cover every value.
    """
    if one.weights_digest is None or other.weights_digest is None or one.engine != other.engine:
        return None
    if one.weights_digest_full != other.weights_digest_full:
        return None
    if one.weights_digest != other.weights_digest or one.dtype != other.dtype:
        return False
    return True if one.weights_digest_full else None


def other_weights_check(run: VariantRun, facts: EngineFacts, baseline: EngineFacts) -> Check:
    """Whether the candidate differs from the baseline, as a variant that claims to be quantized must."""
    if facts.engine != baseline.engine:
        says = f"loaded by {facts.engine}, the baseline by {baseline.engine}: their weights cannot be compared here"
        return Check(name="another model", held=True, blocks=False, says=says)
    same = same_weights(facts, baseline)
    if same is None:
        says = "no digest over all weights of both is stored, so whether they are the baseline's is unknown"
        return Check(name="another model", held=True, blocks=False, says=says)
    says = (
        "its weights equal the baseline's: it is the same model" if same else "its weights differ from the baseline's"
    )
    return Check(name="another model", held=not same, blocks=run.must_be_quantized, says=says)
