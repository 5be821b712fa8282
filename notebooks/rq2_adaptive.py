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
# # RQ2 again: a strong and adaptive attacker
#
# **Question.** What do rounding and truncation protect when the attack does not fail for want of transfer?
#
# The thesis's truncated outputs give a *higher* SSIM than exact ones. That is what an attack shows that reads the target's outputs
# badly: the less of them it sees, the more it falls back on the class ({doc}`rq2_truncation`). Here the attacker aligns the target's outputs
# and pools shadows ({doc}`ladder`), and he **adapts**: he knows what the target does to its outputs, does the same to his shadows', chooses the
# alignment anew on a held-out shadow, and trains anew.
#
# The target answers with logits or with probabilities: in full, with a number of decimals, or with the $k$ largest outputs. For probabilities
# the attacker takes logarithms; a zero counts as half of the smallest number that is written. Beside the leakage stands the **utility**:
# the accuracy, the calibration error {cite}`guo2017` of what is shown, and the share of answers that differ from one another.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # the ladder does not depend on it
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_frame, show_measures
from mi_core.study.overview import differences
from mi_core.study.rungs import answer_frame, rows_of, utility_frame

results = open_chapter(globals(), "defences", "defences_utility", "ladder_answers")
rows = rows_of(results, "defences")

# %% [markdown]
# (table-defences)=
# ## Leakage

# %% tags=["hide-input"]
measures = ["ssim", "mse", "gain", "top1_of_100", "auc", "shuffled_ssim"]
show_measures(results, rows, measures, "defences", "defences")

# %% mystnb={"figure": {"caption": "Each form of answer minus the label alone, on the same images. Intervals are over replicates where there are several, else over images.", "name": "fig-defences"}, "image": {"alt": "Forest plot with three panels, SSIM, MSE and AUC: what the attack gains over the predicted label for each form of answer."}} tags=["hide-input"]
answers = [row for row in rows["row"].unique() if row != "label only" and not row.startswith("baseline")]
against = differences(rows.assign(line=rows["row"]), [(row, "label only") for row in answers])
figures.difference_forest(against)

# %% [markdown]
# (table-utility)=
# ## Utility

# %% tags=["hide-input"]
utility = utility_frame(results)
show_frame(utility.reset_index().round(4), "utility")

# %% [markdown]
# (table-answers)=
# ## Logits or probabilities, for every attacker
#
# A model behind a web page sends probabilities: as single or half precision numbers, or printed with four decimals. The same attackers
# as in {doc}`ladder` read them; the last two columns lose what is too small to be written. SSIM, then the AUC of re-identification:

# %% tags=["hide-input"]
show_frame(answer_frame(results, "ssim").round(4), "answers-ssim")

# %% tags=["hide-input"]
show_frame(answer_frame(results, "auc").round(4), "answers-auc")

# %% tags=["remove-input"]
means = rows.groupby("row")[["ssim", "auc"]].mean()
kept = ["logits", *(f"logits, k={k}" for k in (7, 5, 3, 2, 1))]
by_k = means.loc[kept]
share(exact=by_k["ssim"].iloc[0], last=by_k["ssim"].iloc[-1], exact_auc=by_k["auc"].iloc[0], last_auc=by_k["auc"].iloc[-1])
share(rises=int((by_k["ssim"].diff() > 0).sum()), steps=len(by_k) - 1, label=means.loc["label only", "ssim"])
share(one_decimal=means.loc["logits, 1 decimals", "ssim"] - by_k["ssim"].iloc[0])
share(no_decimals=means.loc["logits, 0 decimals", "ssim"] - by_k["ssim"].iloc[0])
share(probabilities=means.loc["probabilities", "ssim"], printed=means.loc["probabilities, 4 decimals", "ssim"])
share(half=means.loc["probabilities, float16", "ssim"], note=results.note("defences"))
worst = (utility["accuracy"] - utility.loc["logits", "accuracy"]).abs()
share(moved=worst.idxmax(), moved_by=worst.max())

# %% [markdown]
# **Reading.** With all ten logits the attack has an SSIM of {glue:text}`exact` and an AUC of {glue:text}`exact_auc`; with the largest alone
# {glue:text}`last` and {glue:text}`last_auc`, where the label alone has an SSIM of {glue:text}`label`. From one number of visible outputs to the next
# smaller one the SSIM rises in {glue:text}`rises` of {glue:text}`steps` steps. Rounding logits to one decimal changes it by
# {glue:text}`one_decimal`, to whole numbers by {glue:text}`no_decimals`. Probabilities in full give {glue:text}`probabilities`,
# as half-precision numbers {glue:text}`half`, and with four decimals {glue:text}`printed`. The accuracy moves most with
# *{glue:text}`moved`*, by {glue:text}`moved_by`.
#
# **What to trust.** Scale: {glue:text}`note`. All rows attack one target with one pool of shadows, and differ in nothing but the answers. A
# calibration error of truncated logits says what their softmax is worth to a user, the zeros included.
