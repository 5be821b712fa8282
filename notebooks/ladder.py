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
# the shadow's, within each predicted class ({cite}`shokri2017` explains the shadow). This **alignment** needs no label, image, query or weight of the
# target's owner.
# He can also train several shadows on his own images, which differ in their initial weights, align each to the first, and train one inverse
# model on what all of them say.
#
# What is new here: every attacker stands in one table, with what he has. Which alignment is used is decided on
# **held-out shadows**, which take the target's place; the target's images are seen by the scores alone.
#
# **Words of the tables.** Each row is a *rung* of the ladder: one attacker, with what he has.
#
# - *Aligned*: the target's outputs are mapped onto those of the first shadow, in the way that held-out shadows choose. The ways are these.
#   - *none*: outputs stay as they are.
#   - *standardised*: each output vector is shifted and scaled by itself, to the mean and the standard deviation over ten numbers that the shadow's
#     vectors have on average.
#   - *diagonal*: within each predicted class, each of the ten numbers gets the shadow's mean and standard deviation.
#   - *covariance*: within each predicted class, the ten numbers together get the shadow's mean and covariance, by the linear map that moves outputs least.
#   - *transport*: within each predicted class, the target's outputs are assigned to the shadow's one to one, at the least total squared distance, and move towards them.
#   - *learned*: *covariance*, then a correction by a small network that makes the two distributions alike. It takes longer, so it is compared but never chosen.
#   - The last four begin with the means and standard deviations of all outputs together.
# - *Prior*: for how many outputs the shadow's own mean and spread count when those of the target are estimated. With a large one, few outputs move little.
# - *Pool*: *N shadows, aligned* is one inverse model, trained on the outputs of N shadows; all but the first are aligned to the first.
# - *Trained longer*: one shadow, with as many updates of the inverse model as the largest pool has.
# - *Chosen inverse model*: of several that differ in how they are built and trained ({ref}`below <table-models>`), the one with the best SSIM on held-out shadows.
# - *Queries N*: the largest pool, and the target's answers for N of the attacker's images. With *no shadow*: these answers alone.
# - *White box, X~*: the gradient reconstruction through the target's own weights.
# - *Reference: own outputs*: what this inverse model reaches when its own shadow answers for the attacked images. It is no attack, and no limit: other inverse models can exceed it.
#
# *Label alone* and *class average* are explained in {doc}`../pages/notation`.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # the ladder does not depend on it
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_frame, show_measures
from mi_core.study import ladder, rungs
from mi_core.study.overview import differences

models = ("ladder_models", "ladder_models_choice")
results = open_chapter(globals(), "ladder", "ladder_choice", "ladder_predictions", *models)
rows, sizes = rungs.rows_of(results), results.sizes("ladder")
access = rungs.access_frame(sizes)
share(held_out=sizes.ladder_shadows, seen=sizes.ladder_images, judged=sizes.ladder_test, prior=f"{ladder.PRIOR:g}")

# %% [markdown]
# (table-access)=
# ## Who has what
#
# *Unlabelled outputs* are those of the target that the attacker aligns with. He aligns with the very outputs that he inverts; one row, *other outputs*,
# aligns with others. *Queries* are images of his own for which the target answers. *Images* are his own, with labels. Those of $D_S^T$ train shadows and
# inverse models; an inverse model sees the first {glue:text}`seen`. Those of $D_S^V$ watch the training of shadows; on the first {glue:text}`judged` held-out shadows
# choose. The two baselines, and the start of *X~*, are made from all of $D_S^T$, which at a small profile is more than shadows have.
#
# A row that is called aligned takes more shadows than its attack holds. *One shadow, aligned* has one shadow in the attack; {glue:text}`held_out` more decide how
# it is aligned. In a pool some shadows do both. Rows called *alignment* name their method and have a prior of {glue:text}`prior`, so nothing is chosen.

# %% tags=["hide-input"]
show_frame(access, "access")

# %% [markdown]
# (table-ladder)=
# ## The ladder

# %% tags=["hide-input"]
attackers = rows[~rows["row"].str.startswith("alignment")]
show_measures(results, attackers, ["ssim", "mse", "gain", "top1_of_100", "auc", "shuffled_ssim"], "ladder", "ladder")

# %% mystnb={"figure": {"caption": "Each attacker minus the label alone, on the same images. Intervals are over replicates where there are at least three; with one replicate they are bootstraps over its images.", "name": "fig-ladder"}, "image": {"alt": "Forest plot with three panels, SSIM, MSE and AUC: differences between each attacker and one who knows the predicted label only."}} tags=["hide-input"]
names = [row for row in attackers["row"].unique() if row != ladder.LABEL_ALONE]
against = differences(attackers.assign(line=attackers["row"]), [(row, ladder.LABEL_ALONE) for row in names])
figures.difference_forest(against)

# %% [markdown]
# ## How to align
#
# One shadow, one inverse model, and the target's outputs aligned in different ways; then *covariance* from few of these outputs, and from outputs
# for other images than those attacked: the target's for $D_T^V$, which nobody with the thesis's access has.

# %% tags=["hide-input"]
variants = rows[rows["row"].str.startswith(("alignment", "one shadow"))]
show_measures(results, variants, ["ssim", "mse", "gain", "top1_of_100", "auc"], "alignment", "ladder")

# %% [markdown]
# (table-models)=
# ## A better inverse model
#
# The ladder's inverse model is that of the thesis with ReLU in the place of Tanh, and without dropout. Here one choice at a time is changed:
# activation, dropout, width, loss, schedule of the learning rate. All see the same images equally often, as often as the inverse
# model of the largest pool does. The last line puts together what was best by itself at profile quick. The one with the best SSIM on held-out shadows is the
# **chosen inverse model** of the ladder. The other columns are scores on the target, which choose nothing.

# %% tags=["hide-input"]
recipes = rungs.recipe_frame(results)
show_frame(recipes.round(4), "models")

# %% [markdown]
# ## Can the attacker know beforehand?
#
# He cannot measure what he reconstructs of the target's images. But each shadow that his attack did not use can play the
# target, on images of his own which no network was trained on. These scores choose the alignment (never *standardised*, which changes the first shadow's
# outputs too and so is not for pools):

# %% tags=["hide-input"]
choice = rungs.choice_frame(results)
show_frame(choice.round(4), "choice")

# %% mystnb={"figure": {"caption": "SSIM on the target against SSIM on held-out shadows. Lines run from the lowest to the highest held-out shadow.", "name": "fig-transfer"}, "image": {"alt": "Scatter plot of the score on the target against the score on held-out shadows, one marker an attack, with a diagonal."}} tags=["hide-input"]
predicted = rungs.transfer_frame(results)
figures.transfer_scatter(predicted)

# %% tags=["remove-input"]
means = rows.groupby("row")[["ssim", "mse", "top1_of_100", "auc"]].mean()
gray = means[means.index.str.contains("aligned")]  # outputs of the target, and neither queries nor weights
best, first = gray["ssim"].idxmax(), means["ssim"].idxmax()
share(label=means.loc[ladder.LABEL_ALONE, "ssim"], one=means.loc["one shadow", "ssim"], best=best)
share(aligned=gray.loc["one shadow, aligned", "ssim"], best_ssim=gray.loc[best, "ssim"], best_mse=gray.loc[best, "mse"])
share(pool=(pool := rungs.pool_rows(sizes)[-1]))
share(best_top=f"{means.loc[best, 'top1_of_100']:.1%}", best_auc=means.loc[best, "auc"])
share(average_top=f"{means.loc['baseline: class average', 'top1_of_100']:.1%}")
share(white=means.loc["white box, X~", "ssim"], white_steps=sizes.steps, label_auc=means.loc[ladder.LABEL_ALONE, "auc"])
share(asked=(asked := ladder.queries_alone_row(sizes.ladder_images)), asked_ssim=means.loc[asked, "ssim"], first=first)

# %% tags=["remove-input"]
chosen, recipe = rungs.chosen(results)
share(chosen=chosen, recipe=recipe, recipe_ssim=gray.loc["one shadow, aligned, chosen inverse model", "ssim"])
said = {name: f"{line.ssim:.4f} ({line.auc:.4f}, {line.top1_of_100:.1%})" for name, line in means.iterrows()}
share(pooled=said[pool], longer=said["one shadow, aligned, trained longer"])
share(own=means.loc[ladder.OWN_OUTPUTS, "ssim"], intervals=rungs.interval_sentence(rows))
few = f"queries {ladder.BUDGETS[0]}"
share(few=few, few_by=f"{means.loc[few, 'ssim'] - gray.loc[pool, 'ssim']:+.4f}")
off = (predicted["transferred"] - predicted["predicted"]).abs()
share(off=off.mean(), furthest=off.max(), note=results.note("ladder"))

# %% [markdown]
# **Reading.** The label alone has an SSIM of {glue:text}`label`; one shadow as it is, {glue:text}`one`. With the target's outputs aligned
# (held-out shadows choose: {glue:text}`chosen`) one shadow reaches {glue:text}`aligned`. *{glue:text}`pool`* has an SSIM (AUC, top-1 of 100) of {glue:text}`pooled`; one shadow whose inverse model is trained
# for as many updates, {glue:text}`longer`: what lies between these two is the pool's, the rest of its gain the updates'. Of the inverse models held-out shadows choose *{glue:text}`recipe`*, which
# reaches {glue:text}`recipe_ssim`: one shadow in the attack, {glue:text}`held_out` more for the two choices. Of all attackers without queries and weights, *{glue:text}`best`* has the
# highest SSIM, {glue:text}`best_ssim` (MSE {glue:text}`best_mse`); it finds the true image first among a hundred of its class in {glue:text}`best_top` of the cases (class average:
# {glue:text}`average_top`), with an AUC of {glue:text}`best_auc` (label alone: {glue:text}`label_auc`). Reference: the inverse model of one shadow reaches {glue:text}`own` on the outputs of that shadow.
#
# With queries and without weights: *{glue:text}`asked`*, an inverse model that is trained on the target's answers for images of the attacker, reaches
# {glue:text}`asked_ssim`. With weights and without queries: the gradient reconstruction through the target's own weights, without an inverse model and after {glue:text}`white_steps` steps, has {glue:text}`white`,
# which is one attack and not what weights are worth. Of all rows *{glue:text}`first`* has the highest SSIM.
#
# Scores on the target differ from those on held-out shadows by {glue:text}`off` on average and {glue:text}`furthest` at most.
#
# **What to trust.** Scale: {glue:text}`note`. {glue:text}`intervals` Networks that are trained longer answer more extremely; whether they are aligned as
# easily is to be seen at a larger profile. *{glue:text}`few`* adds ten pairs to the largest pool, too few to teach it much, and moves its SSIM by {glue:text}`few_by`: another
# training may do as much, so smaller differences say nothing. The thesis's best attack, $M_I(\tilde{X})$, is no row here. Rows with queries or weights are no gray box as the
# thesis describes it ({doc}`../pages/threat_model`).
