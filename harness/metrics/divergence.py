"""Metrics of whole documents: perplexity, bits per byte, and divergence from the baseline token by token."""

from __future__ import annotations

from harness.metrics.row import Headline, Likelihood, Metric, TokenMaximum, TokenMean, TokenQuantile

LIKELIHOODS = (
    Metric(
        name="perplexity",
        kind="perplexity",
        unit="",
        description="exp of the mean negative log-likelihood per token",
        computed=Likelihood(per="token", exponential=True, gain_unit="nats per token"),
        headline=Headline(title="PPL", rank=2),
    ),
    Metric(
        name="word_perplexity",
        kind="perplexity",
        unit="",
        description="exp of the negative log-likelihood per word, as lm-eval counts words",
        computed=Likelihood(per="word", exponential=True, gain_unit="nats per word"),
        restates=True,
    ),
    Metric(
        name="byte_perplexity",
        kind="perplexity",
        unit="",
        description="exp of the negative log-likelihood per byte of text",
        computed=Likelihood(per="byte", exponential=True, gain_unit="nats per byte"),
        restates=True,
    ),
    Metric(
        name="bits_per_byte",
        kind="perplexity",
        unit="bits",
        description="negative log2-likelihood per byte of text",
        computed=Likelihood(per="byte", exponential=False, gain_unit="bits per byte"),
        restates=True,
    ),
)


def _quantile(name: str, probability: float, description: str, marked: str | None = None) -> Metric:
    return Metric(
        name=name,
        kind="divergence",
        unit="nats",
        description=description,
        computed=TokenQuantile(probability=probability),
        marked=marked,
    )


def _delta_p(percent: int) -> Metric:
    return Metric(
        name=f"delta_p_p{percent}",
        kind="divergence",
        unit="fraction",
        description=f"percentile {percent} of the change of the true token's probability",
        computed=TokenQuantile(probability=percent / 100, of="delta_p_values"),
        higher_is_better=True,
    )


DIVERGENCES = (
    Metric(
        name="kl_mean",
        kind="divergence",
        unit="nats",
        description="mean KL(baseline || variant) per scored token",
        computed=TokenMean(field="kl", summed="KL(baseline || candidate) summed over the document, nats"),
        headline=Headline(title="KL mean", rank=5),
        marked="mean",
    ),
    _quantile("kl_median", 0.5, "median KL per scored token"),
    _quantile("kl_p95", 0.95, "95th percentile of KL"),
    _quantile("kl_p99", 0.99, "99th percentile of KL", marked="p99"),
    _quantile("kl_p999", 0.999, "99.9th percentile of KL"),
    Metric(name="kl_max", kind="divergence", unit="nats", description="largest KL", computed=TokenMaximum()),
    Metric(
        name="top1_agreement",
        kind="divergence",
        unit="fraction",
        description="same most likely token",
        computed=TokenMean(field="top1_agree", summed="tokens with the same most likely token", scale=1.0),
        higher_is_better=True,
        neutral=1.0,
    ),
    Metric(
        name="ear_mean",
        kind="divergence",
        unit="fraction",
        description="mean of Σ min(p, q): the share of speculated tokens that the other model is expected to accept",
        computed=TokenMean(
            field="ear", summed="Σ min(p_baseline, p_candidate) summed over the document", scale=1.0, skewed=True
        ),
        higher_is_better=True,
        neutral=1.0,
    ),
    Metric(
        name="delta_p_mean",
        kind="divergence",
        unit="fraction",
        description="mean change of the true token's probability",
        computed=TokenMean(field="delta_p", summed="Δp of the true token summed over the document"),
        higher_is_better=True,
    ),
    Metric(
        name="delta_p_rms",
        kind="divergence",
        unit="fraction",
        description="RMS change of the true token's probability",
        computed=TokenMean(field="delta_p_squared", summed="Δp² of the true token summed over the document", root=True),
    ),
    *map(_delta_p, (1, 5, 10, 90, 95, 99)),
)
