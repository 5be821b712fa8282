"""Each cached step of the study, one function a step: (parameters, inputs, context) -> value.

``mi_core.study.experiments`` says which parameters and inputs each task has; a parameter read here and not named there
fails. Imported only when something is computed.
"""

from mi_core.study.stages.attacks import (
    activations,
    baseline,
    inverse_model,
    inverse_reconstructions,
    optimal_images,
    reconstructions,
    search,
    search_trial,
)
from mi_core.study.stages.classifiers import (
    architecture,
    auxiliary,
    class_counts,
    classifier,
    classifier_scores,
    confusion_counts,
    curves,
    defended,
    evaluation_model,
    outputs,
    splits,
)
from mi_core.study.stages.common import choose_device, choose_precision, keep_freed_memory
from mi_core.study.stages.ladder import (
    aligned,
    auxiliary_scores,
    held_out_table,
    log_probabilities,
    pooled_inverse_model,
    utility,
)
from mi_core.study.stages.scoring import agreement, features, gallery, score_table, scores, starts

__all__ = [
    "activations",
    "agreement",
    "aligned",
    "architecture",
    "auxiliary",
    "auxiliary_scores",
    "baseline",
    "choose_device",
    "choose_precision",
    "class_counts",
    "classifier",
    "classifier_scores",
    "confusion_counts",
    "curves",
    "defended",
    "evaluation_model",
    "features",
    "gallery",
    "held_out_table",
    "inverse_model",
    "inverse_reconstructions",
    "keep_freed_memory",
    "log_probabilities",
    "optimal_images",
    "outputs",
    "pooled_inverse_model",
    "reconstructions",
    "score_table",
    "scores",
    "search",
    "search_trial",
    "splits",
    "starts",
    "utility",
]
