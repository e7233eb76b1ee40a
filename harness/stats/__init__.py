"""How a drop is judged: arrays in, numbers out. No file, no model, nothing printed."""

from harness.stats.betting import BettingTest, cluster_values
from harness.stats.clusters import design_effect
from harness.stats.decision import Decision
from harness.stats.documents import DocumentMean, PerplexityRatio, document_mean, perplexity_ratio
from harness.stats.drop import PairedDrop, clustered_drop, mcnemar_midp, paired_drop, shared_drop
from harness.stats.graded import GradedDrop, graded_drop
from harness.stats.level import MeanLevel, mean_level
from harness.stats.more import items_to_decide, more_documents, more_items, more_of_gain
from harness.stats.multiple import benjamini_hochberg, holm
from harness.stats.power import (
    DISCORDANCE_PRIORS,
    certifiable_drop,
    items_needed,
    pass_probability,
    zero_flip_items,
)
from harness.stats.share import (
    Recovery,
    RetainedShare,
    clustered_recovery,
    graded_recovery,
    paired_recovery,
    retained_documents,
    retained_items,
    sum_ratio,
)
from harness.stats.speed import SpeedRatio, speed_ratio

__all__ = [
    "DISCORDANCE_PRIORS",
    "BettingTest",
    "Decision",
    "DocumentMean",
    "GradedDrop",
    "MeanLevel",
    "PairedDrop",
    "PerplexityRatio",
    "Recovery",
    "RetainedShare",
    "SpeedRatio",
    "benjamini_hochberg",
    "certifiable_drop",
    "cluster_values",
    "clustered_drop",
    "clustered_recovery",
    "design_effect",
    "document_mean",
    "graded_drop",
    "graded_recovery",
    "holm",
    "items_needed",
    "items_to_decide",
    "mcnemar_midp",
    "mean_level",
    "more_documents",
    "more_items",
    "more_of_gain",
    "paired_drop",
    "paired_recovery",
    "pass_probability",
    "perplexity_ratio",
    "retained_documents",
    "retained_items",
    "shared_drop",
    "speed_ratio",
    "sum_ratio",
    "zero_flip_items",
]
