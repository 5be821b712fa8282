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
# # Beyond the label
#
# **Question.** Which of these reconstructions show more of the image than its class?
#
# A classifier's answer gives the class away; that is its purpose. A picture that shows nothing but the predicted class
# can still score well, because digits of a class resemble each other. So the attacks are measured against guesses that know the
# predicted class at most (baselines: the label alone, $M_I$(label) and others, {doc}`../pages/notation`), against what this attacker
# cannot compute (references), and in ways that a good guess of the class cannot pass. One row is an attack, if a simple one: the average of those
# of the attacker's images whose outputs are nearest to the whole output vector. Tables call it *simple attack*.
#
# - **Gain over the class average**, the attacker's own mean image of the predicted class.
# - **Re-identification**: is a reconstruction nearer to its true image than to the other images of $D_F$ of the same true class? From
#   the rank of the true image among all of them follow, exactly and without drawing, the chance that it is the nearest
#   of ten or of a hundred, and the mean reciprocal rank; the area under the curve (AUC) compares it with one random
#   other image. Knowing the true class gives chance, in expectation; the shuffled control says what the predicted one gives. Distances are the squared error, one minus SSIM, and
#   the features of an **evaluation model**: a network unlike the target, trained on training images that neither
#   target nor attacker has {cite}`zhang2020`. Rates at a small rate of false positives follow {cite}`carlini2022`.
# - **The shuffled control**: the outputs change hands among images with the same predicted class. What an attack still scores then
#   is no leakage about the image.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
import pandas as pd

from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_measures
from mi_core.study import overview
from mi_core.study.replicate import nearest_outputs

results = open_chapter(globals(), "table3", "table4", "table5", "table6")
rows = overview.rows_on_test(results)
points = overview.replicate_points(rows)

# %% [markdown]
# ## Similarity is not identification
#
# Every row of the study on $D_F$, by its similarity with the true images and by how well it tells an image from others of its class.

# %% mystnb={"figure": {"caption": "SSIM and re-identification (AUC by squared error) of every row on $D_F$ but the nearest auxiliary image. What looks alike need not be what can be told apart.", "name": "fig-leakage"}, "image": {"alt": "Scatter plot of re-identification against SSIM: attacks, baselines and ceilings, with a dashed line at chance."}} tags=["hide-input"]
figures.leakage_scatter(points.query("row != 'ceiling: nearest auxiliary image'"))

# %% [markdown]
# (table-beyond)=
# ## Gain over the label

# %% tags=["hide-input"]
show_measures(results, rows, ["ssim", "gain", "shuffled_ssim", "mse", "r2", "shuffled_mse", "to_class_average"], "gain")

# %% [markdown]
# (table-identification)=
# ## Re-identification

# %% tags=["hide-input"]
by_error = ["auc", "top1_of_10", "top1_of_100", "mrr_of_10", "mrr_of_100"]
by_error += ["true_positives_at_1_percent", "true_positives_at_0.1_percent", "shuffled_auc"]
show_measures(results, rows, by_error, "identification")

# %% [markdown]
# By the two other distances:

# %% tags=["hide-input"]
others = [f"{name}_{distance}" for distance in ("ssim", "features") for name in ("auc", "top1_of_10", "top1_of_100")]
others += [f"true_positives_at_1_percent_{distance}" for distance in ("ssim", "features")]
show_measures(results, rows, others, "identification-otherwise")

# %% mystnb={"figure": {"caption": "True pairs accepted against impostor pairs accepted, by squared error, with one threshold for all classes.", "name": "fig-detection"}, "image": {"alt": "Curves of true-positive rate against false-positive rate on logarithmic axes, with a diagonal for chance."}} tags=["hide-input"]
shown = ["baseline: class average", "X~/class_average", "M_I(O)", "M_I(X~)", "M_I(O+X~)", "ceiling: M_I(O)/own-outputs"]
figures.detection_curve(rows.query("inverse_seed == 0"), rows=shown)

# %% [markdown]
# ## What the evaluation model sees
#
# The share of reconstructions in which a network that took no part in the attack sees the true class, and the distance
# of its features to those of the true image.

# %% tags=["hide-input"]
show_measures(results, rows, ["accuracy", "feature_distance", "auc_features"], "evaluation")

# %% [markdown]
# ## Attacks against the label
#
# Each attack, the simple one among them, minus the baseline that is best by the same measure: {glue:text}`best_by_ssim` for SSIM, {glue:text}`best_by_mse` for MSE,
# {glue:text}`best_by_auc` for AUC, for which every baseline is a guess. Both have the same images, so the comparison is paired.

# %% tags=["hide-input"]
attacks = overview.gray_box_rows(rows)
shown = [row for row in attacks if "k=3" not in row and "k=5" not in row and "rounded" not in row]
best = overview.best_baselines(points)
names = {"baseline: SSIM-optimal class image": "the label alone", "baseline: M_I(label)": "M_I(label)"}
share(**{f"best_by_{metric}": names.get(row, row.removeprefix("baseline: ")) for metric, row in best.items()})
lines = rows.assign(line=rows["row"])
parts = [overview.differences(lines, [(row, best[metric]) for row in shown], metrics=[metric]) for metric in best]
against = pd.concat(parts).assign(reference="the best baseline")
several = against["count"].max() > 1
over = "replicates (Student's t)" if several else "the images of the one replicate (bootstrap), the models given"

# %% mystnb={"figure": {"caption": "Attacks minus the best baseline of each measure. Intervals are over replicates where there are several, else over images.", "name": "fig-against-label"}, "image": {"alt": "Forest plot with three panels, one for each of SSIM, MSE and AUC: differences between attacks and the best baseline."}} tags=["hide-input"]
figures.difference_forest(against)

# %% [markdown]
# ## Where scores vary
#
# The thesis's ± is over trainings of the inverse model on one split and one pair of classifiers. Here the variance of the SSIM of single
# images is split into what comes from replicates (new split, classifiers, everything), from trainings of the inverse
# model on the same inputs, from images, and the rest. A part that one training or one replicate cannot show is
# called so.

# %% mystnb={"figure": {"caption": "Shares of the variance of SSIM over single images; the numbers are standard deviations.", "name": "fig-variance"}, "image": {"alt": "Stacked bars, one for each row: shares of variance between replicates, trainings, images, and the rest."}} tags=["hide-input"]
figures.variance_bars(overview.variance_table(rows, ["M_I(O)", "M_I(A_L)", "M_I(X~)", "M_I(O+X~)", "M_I(X~)/k=1"]))

# %% tags=["remove-input"]
means = points.groupby("row").mean(numeric_only=True)
exact = means.loc[[row for row in attacks if not any(word in row for word in ("k=", "rounded"))]]
x, label, guess = (means.loc[row] for row in ("M_I(X~)", "baseline: M_I(label)", best["ssim"]))
ceiling = means.loc["ceiling: M_I(O)/own-outputs"]
share(baseline_auc=means.loc[best["auc"], "auc"])
share(x=x["ssim"], x_shuffled=x["shuffled_ssim"], label=label["ssim"], guess=guess["ssim"])
share(best=exact["ssim"].idxmax(), best_ssim=exact["ssim"].max())
tops = exact[["top1_of_100", "top1_of_100_ssim", "top1_of_100_features"]].max()
share(top=f"{tops.iloc[0]:.1%}", top_otherwise=f"{tops.iloc[1:].max():.1%}", ceiling_top=f"{ceiling['top1_of_100']:.1%}")
share(above=sum(exact["ssim"] > guess["ssim"]), attacks=len(exact), note=results.note("table4"), over=over)
share(ceiling_auc=ceiling["auc"], averaged=nearest_outputs(sizes := results.sizes("table4")), known=sizes.attack_training)

# %% tags=["remove-input"]
simple = overview.SIMPLE_ATTACK
highest = overview.highest_mean(points, exact.index.drop(simple), "auc")
share(telling=highest.first, second=highest.second, agree=highest.agreeing, replicates=highest.count)
share(auc=exact.loc[highest.first, "auc"], shuffled_auc=exact.loc[highest.first, "shuffled_auc"])
by_replicate = points.pivot(index="replicate", columns="row", values="auc")
share(simple=exact.loc[simple, "auc"], over_simple=int((by_replicate[highest.first] > by_replicate[simple]).sum()))

# %% [markdown]
# **Reading.** Without a defence, {glue:text}`above` of {glue:text}`attacks` gray-box attacks, the simple one among them, have a higher SSIM than the best baseline
# ({glue:text}`best_by_ssim`, {glue:text}`guess`); the highest, {glue:text}`best`, has {glue:text}`best_ssim`. $M_I$(label) reaches {glue:text}`label`. After outputs are shuffled within the predicted class $M_I(\tilde{X})$ still scores
# {glue:text}`x_shuffled` of its {glue:text}`x`: so much of it is not about the image. By AUC, which asks whether images of a class are told apart, the highest
# mean of the thesis's attacks has {glue:text}`telling`, {glue:text}`auc`; it is above the next, {glue:text}`second`, in {glue:text}`agree` of {glue:text}`replicates` replicates, and above the simple attack ({glue:text}`simple`) in
# {glue:text}`over_simple`. The best baseline, a guess, has {glue:text}`baseline_auc`, the attack itself after shuffling {glue:text}`shuffled_auc`. By squared error none of these attacks finds the true image first among a hundred in more than {glue:text}`top` of the cases, by the two other distances in more than {glue:text}`top_otherwise`. On outputs of its own shadow, where nothing is lost between models,
# $M_I(O)$ reaches an AUC of {glue:text}`ceiling_auc` and {glue:text}`ceiling_top`. Intervals in {numref}`fig-against-label` are over
# {glue:text}`over`. Scale: {glue:text}`note`. The simple attack averages {glue:text}`averaged` of the {glue:text}`known` images
# that the attacker has outputs for: another number of images, or of known outputs, would give it another AUC ({doc}`gradient_reconstructions` has it at the largest scale).
#
# Replicates are fresh draws from the same 70,000 images: their intervals speak about MNIST, not about other data.
