"""The figures of the study: tidy frames in, Matplotlib figures out.

Frames are those of ``mi_core.study.experiments``; the column ``replicate`` may be missing where there is one. Nothing
is shown or saved here, and nothing is computed beyond means, shares and quantiles.
"""

from mi_core.report.figures.cost import growth_lines
from mi_core.report.figures.data import class_histograms, confusion_matrices, search_scatter, training_curves
from mi_core.report.figures.ladder import transfer_scatter
from mi_core.report.figures.leakage import detection_curve, leakage_scatter
from mi_core.report.figures.pictures import select_images, start_grid, strip, with_label_only
from mi_core.report.figures.scores import class_heatmap, head_comparison, score_comparison, score_distributions
from mi_core.report.figures.uncertainty import difference_forest, variance_bars
from mi_core.report.style import row_label

__all__ = [
    "class_heatmap",
    "class_histograms",
    "confusion_matrices",
    "detection_curve",
    "difference_forest",
    "growth_lines",
    "head_comparison",
    "leakage_scatter",
    "row_label",
    "score_comparison",
    "score_distributions",
    "search_scatter",
    "select_images",
    "start_grid",
    "strip",
    "training_curves",
    "transfer_scatter",
    "variance_bars",
    "with_label_only",
]
