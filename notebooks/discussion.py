# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Discussion
#
# **Question.** What of the thesis's conclusions do these results speak to, and what can they not say?
#
# The ten claims below are the thesis's. For each stand the published numbers and ours. At a profile below `paper`
# they are no verdicts: sizes differ, and one replicate has no spread.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computes what is missing
seed = 0  # from which every random draw is derived
protocol = "code"  # or "text": what the thesis's released notebook does, or what its text says
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
import pandas as pd

from mi_core.report.notebook import open_chapter, share, show_frame

results = open_chapter(globals(), "table1", "table2", "table3", "table4", "table5", "table6")

# %% tags=["hide-input"]
tables = {number: results.table(number).set_index(["row", "split", "metric"]) for number in range(1, 7)}


def pair(number, row, split="test", metric="ssim"):
    line = tables[number].loc[(row, split, metric)]
    return line["published_mean"], line["mean"]


def gain(better, worse):
    return [f"{b / w - 1:+.1%}" for b, w in zip(better, worse, strict=True)]


def span(rows, number, metric="ssim"):
    values = [pair(number, row, metric=metric) for row in rows]
    return [" → ".join(f"{value[side]:.3f}" for value in values) for side in (0, 1)]

# %% tags=["hide-input"]
def leader(number, metric, split):
    rows = "metric == @metric and split == @split and published_mean.notna()"
    table = results.table(number).query(rows).set_index("row")
    return [table[column].idxmax() for column in ("published_mean", "mean")]


inverse_x, inverse_o, gradient = pair(4, "M_I(X~)"), pair(4, "M_I(O)"), pair(3, "class_average")
rounding = [f"{r - e:+.4f}" for r, e in zip(pair(5, "M_I(X~)/rounded"), pair(5, "M_I(X~)/exact"), strict=True)]
f1 = [pair(2, "M_T", "target_validation", "f1"), pair(2, "M_S", "shadow_validation", "f1")]
claims = pd.DataFrame(
    [
        ("C1", "M_I(X~) is the best of the seven (best row)", *leader(4, "ssim", "test")),
        ("C2", "it beats stand-alone X~ (SSIM gained)", *gain(inverse_x, gradient)),
        ("C3", "it beats M_I(O) (SSIM gained)", *gain(inverse_x, inverse_o)),
        ("C4", "more inputs do not help (SSIM of X~, O+X~, all)", *span(["M_I(X~)", "M_I(O+X~)", "M_I(O+A_L+X~)"], 4)),
        ("C5", "class-average start is the best of three (best row)", *leader(3, "ssim", "test")),
        ("C6", "the shadow mimics the target (F1 of M_T, M_S)", *(f"{f1[0][i]:.4f}, {f1[1][i]:.4f}" for i in (0, 1))),
        ("C7", "rounding changes nothing (SSIM, M_I(X~))", *rounding),
        ("C8", "SSIM rises as k falls (M_I(X~), k = 10, 5, 3, 1)", *span([f"M_I(X~)/k={k}" for k in (10, 5, 3, 1)], 6)),
        ("C10", "no activation + dropout is the best head (best row)", *leader(1, "f1", "target_validation")),
    ],
    columns=["claim", "what the thesis says", "thesis", "here"],
)
share(note=results.note("table4"))
show_frame(claims, "claims")

# %% [markdown]
# Claim C9, that reconstructions lose what is particular to the instance as $k$ falls, is shown by pictures in
# {doc}`rq2_truncation` and not yet measured. Scale of the table: {glue:text}`note`.
#
# ## What these numbers cannot say
#
# - **SSIM does not tell leakage from a good guess.** A picture that shows nothing but the predicted class can score well,
#   because digits of a class resemble each other. Whether an attack reveals *this* image needs a comparison with what the
#   label alone gives, and a measure of re-identification.
# - **One pair of classifiers.** The thesis's spreads come from five trainings of each inverse model on one split and one pair of
#   classifiers. Replicates of this report redraw everything; their spread is another quantity, and usually a larger one.
# - **Text and code.** Where the two differ, the code gave the published numbers. Some of its choices give the attacker what
#   the gray-box setting forbids ({doc}`../pages/threat_model`).
# - **MNIST.** Replicates are fresh draws from the same 70,000 images; nothing here speaks about other data.
#
# ## What the thesis leaves for later
#
# More complex data, the shadow's last feature map as input, noise on the outputs or a student model as defence, deeper
# architectures, and attacker data from another distribution.
#
# If you know of an error in this reading of the thesis, its author's correction above all, it will be put right.
