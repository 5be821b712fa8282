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
# # RQ2 again: an adaptive attacker
#
# **Question.** What do rounding and truncation protect when the attack does not fail for want of transfer?
#
# The thesis's truncated outputs give a *higher* SSIM than exact ones. That is what one would expect of an attack that reads the target's outputs
# badly: the less of them it sees, the more it falls back on the class ({doc}`rq2_truncation`). Here it is tested, with an attack that is made to transfer.
# The attacker aligns the target's outputs with a pool of {glue:text}`shadows` shadows, and he **adapts**: he knows what the target does to its outputs, does
# the same to his shadows', chooses among {glue:text}`candidates` alignments anew on held-out shadows, and trains anew. {doc}`ladder` explains the words and has
# stronger attackers, with more shadows and an inverse model that is chosen, so what a defence withholds here is no bound.
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
from mi_core.study import defences, ladder, rungs
from mi_core.study.overview import differences

results = open_chapter(globals(), "defences", "defences_utility", "ladder_answers")
rows, sizes = rungs.rows_of(results, "defences"), results.sizes("defences")
share(shadows=defences.DEFENDED_SHADOWS, candidates=len(defences.DEFENDED_CANDIDATES), pool=sizes.ladder_shadows)

# %% [markdown]
# (table-defences)=
# ## Leakage

# %% tags=["hide-input"]
measures = ["ssim", "mse", "gain", "top1_of_100", "auc", "shuffled_ssim"]
show_measures(results, rows, measures, "defences", "defences")

# %% mystnb={"figure": {"caption": "Each form of answer minus the label alone, on the same images. Intervals are over replicates where there are at least three; with one replicate they are bootstraps over its images.", "name": "fig-defences"}, "image": {"alt": "Forest plot with three panels, SSIM, MSE and AUC: what the attack gains over the predicted label for each form of answer."}} tags=["hide-input"]
answers = [row for row in rows["row"].unique() if row != ladder.LABEL_ALONE and not row.startswith("baseline")]
against = differences(rows.assign(line=rows["row"]), [(row, ladder.LABEL_ALONE) for row in answers])
figures.difference_forest(against)

# %% [markdown]
# (table-utility)=
# ## Utility

# %% tags=["hide-input"]
utility = rungs.utility_frame(results)
show_frame(utility.reset_index().round(4), "utility")

# %% [markdown]
# (table-answers)=
# ## Logits or probabilities, for every attacker
#
# A model behind a web page sends probabilities: as single or half precision numbers, or printed with four decimals. Attackers of the kinds
# that {doc}`ladder` has read them; rows with queries add these to a pool of {glue:text}`shadows` shadows, where those of {doc}`ladder` have {glue:text}`pool` and inverse models with more updates. The last two
# columns lose what is too small to be written. SSIM, then the AUC of re-identification:

# %% tags=["hide-input"]
show_frame(rungs.answer_frame(results, "ssim").round(4), "answers-ssim")

# %% tags=["hide-input"]
show_frame(rungs.answer_frame(results, "auc").round(4), "answers-auc")

# %% tags=["remove-input"]
means = rows.groupby("row")[["ssim", "auc"]].mean()
kept = ["logits", *(f"logits, k={k}" for k in (7, 5, 3, 2, 1))]
by_k = means.loc[kept]
share(exact=by_k["ssim"].iloc[0], last=by_k["ssim"].iloc[-1], exact_auc=by_k["auc"].iloc[0], last_auc=by_k["auc"].iloc[-1])
share(rises=int((by_k["ssim"].diff() > 0).sum()), steps=len(by_k) - 1, label=means.loc[ladder.LABEL_ALONE, "ssim"])
rounded = means["ssim"] - by_k["ssim"].iloc[0]
share(one_decimal=f"{rounded['logits, 1 decimal']:+.4f}", no_decimals=f"{rounded['logits, 0 decimals']:+.4f}")
share(hardly=rounded[[f"logits, {count} decimals" for count in (4, 3, 2)]].abs().max(), label_auc=means.loc[ladder.LABEL_ALONE, "auc"])
share(probabilities=means.loc["probabilities", "ssim"], printed=means.loc["probabilities, 4 decimals", "ssim"])
share(half=means.loc["probabilities, half precision", "ssim"], note=results.note("defences"))

# %% tags=["remove-input"]
images = len(rows[["replicate", "image"]].drop_duplicates())
by_attacker = rungs.answer_frame(results, "ssim").set_index("attacker")
few = by_attacker.loc[f"queries {ladder.BUDGETS[0]}"] - by_attacker.loc[ladder.pool_row(defences.DEFENDED_SHADOWS)]
share(noise=few.abs().max())
moved, count, direction = rungs.moved_answers(utility, images)
share(moved=moved, count=count, images=images, direction=direction, intervals=rungs.interval_sentence(rows))

# %% [markdown]
# **Reading.** With all ten logits the attack has an SSIM of {glue:text}`exact` and an AUC of {glue:text}`exact_auc`; with the largest alone
# {glue:text}`last` and {glue:text}`last_auc`, where the label alone has {glue:text}`label` and {glue:text}`label_auc`. From one number of visible outputs to the next
# smaller one the SSIM rises in {glue:text}`rises` of {glue:text}`steps` steps. Probabilities in full give {glue:text}`probabilities`,
# as half-precision numbers {glue:text}`half`, and with four decimals {glue:text}`printed`.
#
# Rounding logits to one decimal changes the SSIM by {glue:text}`one_decimal`, rounding to whole numbers by {glue:text}`no_decimals`. Two to four decimals, which hardly
# change a logit, move it by up to {glue:text}`hardly`, with the same initial weights and batches. Another training moves a row by more: ten queries, which add little to a
# pool but change its batches, by up to {glue:text}`noise` in {ref}`the table above <table-answers>`. Differences of that size say nothing.
# The accuracy moves most with *{glue:text}`moved`*: the largest answer is right for {glue:text}`count` {glue:text}`direction` of {glue:text}`images` images.
#
# **What to trust.** Scale: {glue:text}`note`. {glue:text}`intervals` All rows of a replicate attack one target with one pool of shadows, and differ in nothing but the answers
# and what the attacker chooses and trains because of them.
# An attack that fails here may succeed otherwise: nothing on this page shows that a defence protects. A
# calibration error of truncated logits says what their softmax is worth to a user, the zeros included.
