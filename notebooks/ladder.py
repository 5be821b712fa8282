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
# # A ladder of attackers
#
# **Question.** How much does an output vector reveal to attackers who have more and more, and who use it well?
#
# The thesis's inverse model reads the shadow's outputs well and the target's badly. Both networks
# answer for the same kind of images, so an attacker can move the outputs that he collects from the target until they are distributed like
# the shadow's, within each predicted class ({cite}`shokri2017` explains the shadow). This **alignment** needs no label, no image, no query and no weight.
# He can also train several shadows on his own images, which differ in their initial weights, align each to the first, and train one inverse
# model on what all of them say.
#
# What is new here: every attacker stands in one table, with what he has. Which alignment is used is decided on
# **held-out shadows**, which take the target's place; the target's images are seen by the scores alone.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # the ladder does not depend on it
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_frame, show_measures
from mi_core.study import rungs
from mi_core.study.overview import differences
from mi_core.study.recipes import best_recipe
from mi_core.study.rungs import rows_of

models = ("ladder_models", "ladder_models_choice")
results = open_chapter(globals(), "ladder", "ladder_choice", "ladder_predictions", *models)
rows = rows_of(results)
access = rungs.access_frame(results.sizes("ladder"))

# %% [markdown]
# (table-access)=
# ## Who has what
#
# Every attacker sees the outputs that he inverts. *Unlabelled outputs* are those that he aligns with;
# *queries* are images of his own for which the target answers.

# %% tags=["hide-input"]
show_frame(access, "access")

# %% [markdown]
# (table-ladder)=
# ## The ladder

# %% tags=["hide-input"]
attackers = rows[~rows["row"].str.startswith("alignment")]
show_measures(results, attackers, ["ssim", "mse", "gain", "top1_of_100", "auc", "shuffled_ssim"], "ladder", "ladder")

# %% mystnb={"figure": {"caption": "Each attacker minus the label alone, on the same images. Intervals are over replicates where there are several, else over images.", "name": "fig-ladder"}, "image": {"alt": "Forest plot with three panels, SSIM, MSE and AUC: differences between each attacker and one who knows the predicted label only."}} tags=["hide-input"]
names = [row for row in attackers["row"].unique() if row != "label only"]
against = differences(attackers.assign(line=attackers["row"]), [(row, "label only") for row in names])
figures.difference_forest(against)

# %% [markdown]
# ## How to align
#
# One shadow, one inverse model, and the target's outputs aligned in different ways; then the same from few outputs, and from outputs
# for other images than those attacked.

# %% tags=["hide-input"]
variants = rows[rows["row"].str.startswith(("alignment", "one shadow"))]
show_measures(results, variants, ["ssim", "mse", "gain", "top1_of_100", "auc"], "alignment", "ladder")

# %% [markdown]
# (table-models)=
# ## A better inverse model
#
# The ladder's inverse model is that of the thesis with ReLU in the place of Tanh, and without dropout. Here one choice at a time is changed:
# activation, dropout, width, loss, schedule of the learning rate. All see the same images equally often, as often as the inverse
# model of the largest pool does. The last line puts together what was best by itself. The one that is best on held-out shadows is the
# **chosen inverse model** of the ladder.

# %% tags=["hide-input"]
recipes = rungs.recipe_frame(results)
show_frame(recipes.round(4), "models")

# %% [markdown]
# ## Can the attacker know beforehand?
#
# He cannot measure what he reconstructs of the target's images. But each shadow that his attack did not use can play the
# target, on images of his own which no network was trained on. These scores choose the alignment:

# %% tags=["hide-input"]
choice = rungs.choice_frame(results)
show_frame(choice.round(4), "choice")

# %% mystnb={"figure": {"caption": "SSIM on the target against SSIM on held-out shadows. Lines run from the lowest to the highest held-out shadow.", "name": "fig-transfer"}, "image": {"alt": "Scatter plot of the score on the target against the score on held-out shadows, one marker an attack, with a diagonal."}} tags=["hide-input"]
predicted = rungs.transfer_frame(results)
figures.transfer_scatter(predicted)

# %% tags=["remove-input"]
means = rows.groupby("row")[["ssim", "mse", "top1_of_100", "auc"]].mean()
gray = means[means.index.str.contains("aligned")]  # outputs of the target, and neither queries nor weights
best = gray["ssim"].idxmax()
share(label=means.loc["label only", "ssim"], one=means.loc["one shadow", "ssim"], best=best)
share(aligned=gray.loc["one shadow, aligned", "ssim"], best_ssim=gray.loc[best, "ssim"], best_mse=gray.loc[best, "mse"])
share(pool=(pool := rungs.pool_rows(results.sizes("ladder"))[-1]), pool_ssim=gray.loc[pool, "ssim"])
share(best_top=f"{means.loc[best, 'top1_of_100']:.1%}", best_auc=means.loc[best, "auc"])
share(average_top=f"{means.loc['baseline: class average', 'top1_of_100']:.1%}")
share(longer=means.loc["one shadow, aligned, trained longer", "ssim"], white=means.loc["white box", "ssim"])

# %% tags=["remove-input"]
share(chosen=f"{choice.iloc[0]['method']}", own=means.loc["ceiling: own outputs", "ssim"])
share(recipe=best_recipe(results.frame("ladder_models_choice")), recipe_ssim=gray.loc["one shadow, aligned, chosen inverse model", "ssim"])
off = (predicted["transferred"] - predicted["predicted"]).abs()
share(off=off.mean(), furthest=off.max(), note=results.note("ladder"))

# %% [markdown]
# **Reading.** The label alone has an SSIM of {glue:text}`label`; one shadow as it is, {glue:text}`one`. With the target's outputs aligned
# (held-out shadows choose: {glue:text}`chosen`) one shadow reaches {glue:text}`aligned`; *{glue:text}`pool`*, {glue:text}`pool_ssim`; one shadow whose inverse model is trained
# for as many updates as that of the largest pool, {glue:text}`longer`. Of the inverse models held-out shadows choose *{glue:text}`recipe`*, which
# reaches {glue:text}`recipe_ssim` with one shadow. Of all attackers without queries and weights, *{glue:text}`best`* has the highest SSIM,
# {glue:text}`best_ssim` (MSE {glue:text}`best_mse`); it finds the true image first among a hundred of its class in {glue:text}`best_top` of the cases (class average:
# {glue:text}`average_top`), with an AUC of {glue:text}`best_auc`. An inverse model on the outputs of its own shadow has {glue:text}`own`, one trained on the target itself
# {glue:text}`white`. Scores on the target differ from those on held-out shadows by {glue:text}`off` on average and {glue:text}`furthest` at most.
#
# **What to trust.** Scale: {glue:text}`note`. Networks that are trained longer answer more extremely; whether they are aligned as
# easily is to be seen at a larger profile. With one replicate an interval speaks of its images, the networks being given. The largest pool takes more
# training than one shadow does; the row that is trained longer tells what of its gain is due to that. Rows with queries or weights are no gray box.
