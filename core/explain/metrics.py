"""The metrics of scores: what each is called, and what it is of a judge that knows nothing."""

from collections.abc import Mapping

ALL = "all"
"""The kind, or the language, under which every example counts."""
BALANCED_ACCURACY, AUROC, CORRELATION, SHARE = "balanced_accuracy", "auroc", "correlation", "share"
CHANCE: Mapping[str, float] = {BALANCED_ACCURACY: 0.5, AUROC: 0.5, CORRELATION: 0.0, SHARE: 0.5}
"""What a judge reaches that knows nothing, by metric."""
CALLED: Mapping[str, str] = {
    BALANCED_ACCURACY: "balanced accuracy",
    AUROC: "AUROC",
    CORRELATION: "correlation",
    SHARE: "share of pairs predicted",
}
"""The metrics in words."""
