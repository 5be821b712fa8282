"""One look for every figure: colours, sizes, and how rows and splits are written.

Same frame, same SVG: ids are salted with a constant and text becomes paths; save with ``metadata={"Date": None}``.
"""

import re

import matplotlib as mpl
from matplotlib.figure import Figure

from mi_core.study.overview import SHOWN_AS

__all__ = [
    "DARK",
    "FULL_WIDTH",
    "MARKERS",
    "OURS",
    "PALETTE",
    "PUBLISHED",
    "SMALL_FONT",
    "SPLIT_LABELS",
    "START_LABELS",
    "apply_style",
    "new_figure",
    "row_label",
    "shown_name",
]

FULL_WIDTH = 7.5  # inches: the text column of the book
SMALL_FONT = 7.5  # points: annotations

# Okabe and Ito's colours, which stay apart for colour-blind readers, and one grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one beside each colour, which never speaks alone
OURS, PUBLISHED = PALETTE[0], PALETTE[1]
DARK = "#22262B"

SETTINGS = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",  # opaque, so that figures read in a dark page too
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "mi_core",
    "font.family": ["DejaVu Sans"],  # ships with Matplotlib: the same glyphs everywhere
    "mathtext.fontset": "dejavusans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.color": DARK,
    "axes.labelcolor": DARK,
    "axes.edgecolor": "#6B7078",
    "xtick.color": "#6B7078",
    "ytick.color": "#6B7078",
    "xtick.labelcolor": DARK,
    "ytick.labelcolor": DARK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "grid.color": "#E3E5E8",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
}

SPLIT_LABELS = {
    "target_train": r"target training $D_T^T$",
    "target_validation": r"target validation $D_T^V$",
    "shadow_train": r"shadow training $D_S^T$",
    "shadow_validation": r"shadow validation $D_S^V$",
    "test": r"test $D_F$",
}

START_LABELS = {"random": "random pixels", "class_instance": "class instance", "class_average": "class average"}
PART_LABELS = {"O": "O", "A_L": "A_L", "X~": r"\tilde{X}", "label": r"\mathrm{label}"}
VARIANT_LABELS = {"shadow-weights": "shadow's weights", "own-outputs": "shadow's own outputs"}
HEAD_LABELS = {"dropout": "dropout", "no-dropout": "no dropout"}


def apply_style() -> None:
    """Give every figure drawn from now on the report's look."""
    mpl.rcParams.update(SETTINGS)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that makes room for its labels; unknown to pyplot, so nothing stays open."""
    return Figure(figsize=(width, height), layout="constrained")


def shown_name(row: str) -> str:
    """The name of a row as tables print it.

    Artefacts call a row that needs the true images a ceiling; readers see "reference", for other inverse models or
    more shadows may do better than it. They call the average of nearest outputs a baseline, which is an attack.

    Example:
        >>> shown_name("ceiling: nearest auxiliary image")
        'reference: nearest auxiliary image'
    """
    return SHOWN_AS.get(row, re.sub("^ceiling: ", "reference: ", row))


def row_label(row: str) -> str:
    """The name of a table's row as a figure prints it; a name of no known form keeps its words.

    Example:
        >>> row_label("M_I(O+X~)/k=5")
        '$M_I(O, \\\\tilde{X})$, $k=5$'
        >>> row_label("X~/class_average")
        '$\\\\tilde{X}$ from class average'
        >>> row_label("None/no-dropout")
        'no activation, no dropout'
    """
    row = shown_name(row)
    for kind in ("baseline: ", "reference: "):
        if row.startswith(kind):
            rest = row.removeprefix(kind)
            return kind + (row_label(rest) if rest.startswith("M_I") else rest)
    name, *variants = row.split("/")
    if row in ("M_T", "M_S"):
        return f"${row}$"
    if name == "X~":
        return r"$\tilde{X}$" + "".join(f" from {START_LABELS.get(start, start)}" for start in variants)
    if row in START_LABELS:
        return START_LABELS[row]
    if len(variants) == 1 and variants[0] in HEAD_LABELS:
        return f"{'no activation' if name == 'None' else name}, {HEAD_LABELS[variants[0]]}"
    inside = re.fullmatch(r"M_I\((.+)\)", name)
    if inside and all(part in PART_LABELS for part in inside[1].split("+")):
        parts = ", ".join(PART_LABELS[part] for part in inside[1].split("+"))
        return ", ".join([f"$M_I({parts})$", *map(_variant_label, variants)])
    return row.replace("_", " ").replace("$", r"\$")


def _variant_label(variant: str) -> str:
    return f"${variant}$" if re.fullmatch(r"k=\d+", variant) else VARIANT_LABELS.get(variant, variant)
