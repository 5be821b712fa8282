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
# # RQ1: which inputs help?
#
# **Question.** The inverse model can be given the output vector $O$, the recovered activations $A_L$, the gradient
# reconstruction $\tilde{X}$, or several of them. Which combination gives the best reconstructions of images for which the
# target has answered (none of them its training images)?
#
# The inverse model is a transposed CNN, {numref}`fig-inverse-blocks`. It is trained on the attacker's $D_S^T$ with the outputs of the
# shadow, and tested on $D_F$ with the outputs of the target. Its loss is one minus SSIM {cite}`wang2004`.

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %%
from mi_core.report import figures
from mi_core.report.diagrams import layer_blocks, layer_table
from mi_core.report.notebook import open_chapter, share, show_table
from mi_core.study.paper import published_table

results = open_chapter(globals(), "table3", "table4", "architecture", "curves", "gallery")

# %% [markdown]
# ## The inverse model

# %% mystnb={"figure": {"caption": "The inverse model's blocks (thesis Fig 2), here with the ten outputs as input; A_L has 50 numbers, X~ 1,024.", "name": "fig-inverse-blocks"}, "image": {"alt": "A row of boxes from ten inputs through feature maps of 512, 256 and 128 channels to a 1 by 32 by 32 image."}} tags=["hide-input"]
layers = results.frame("architecture")
layer_blocks(layers, "inverse model")

# %% mystnb={"figure": {"caption": "Layers of the inverse model (thesis Fig 26).", "name": "fig-inverse-layers"}, "image": {"alt": "A list of the inverse model's layers with their output shapes and parameter counts."}} tags=["hide-input"]
layer_table(layers, "inverse model")

# %% [markdown]
# (table-4)=
# ## Table 4: seven combinations
#
# Rows marked *shadow-weights* are not in the thesis. Its notebook recovers the $A_L$ of $D_F$ with the weights of the
# *target*, which a gray-box attacker does not have; beside each such row stands the same inverse model on $A_L$ recovered
# with the shadow's. Under `protocol text` all rows use the shadow's, and none is marked. Below the combinations stand
# **baselines**, which need no attack, and two **references**, which need the true images: the attacker's image nearest to
# the true one, and what this inverse model reaches when its own shadow answers, with no loss from one model to the other.
# Neither bounds an attack: other inverse models or more shadows may do better ({doc}`ladder`).

# %% tags=["hide-input"]
show_table(results, 4)

# %% mystnb={"figure": {"caption": "SSIM on $D_F$ for each combination: ours, its spread over images, and the published mean and spread (Table 4).", "name": "fig-combinations-ssim"}, "image": {"alt": "Dot plot, one line for each combination of inputs; ours as dots, the thesis's as diamonds."}} tags=["hide-input"]
figures.score_comparison(results.frame("table4"), published_table(4), "ssim")

# %% mystnb={"figure": {"caption": "MSE on $D_F$ for each combination (Table 4); lower is better.", "name": "fig-combinations-mse"}, "image": {"alt": "Dot plot of MSE, one line for each combination of inputs."}} tags=["hide-input"]
figures.score_comparison(results.frame("table4"), published_table(4), "mse")

# %% mystnb={"figure": {"caption": "SSIM of single images of $D_F$: how it spreads over images, with a box for the middle half, for three attacks and for what the predicted class alone gives.", "name": "fig-combinations-spread"}, "image": {"alt": "Violin plot of SSIM per image, one line each for three attacks and two baselines; the spread over images is wide in every line."}} tags=["hide-input"]
beside = ["M_I(O)", "M_I(X~)", "M_I(O+X~)", "baseline: class average", "baseline: SSIM-optimal class image"]
figures.score_distributions(results.frame("table4"), "ssim", beside)

# %% mystnb={"figure": {"caption": "Mean SSIM on the images of each class, for the seven combinations and for what the predicted class alone gives. Under `protocol code`, as in the released code, A_L is recovered with the target's weights: its four lines are no gray-box attack.", "name": "fig-combinations-classes"}, "image": {"alt": "Heat map of mean SSIM, one line for each combination and two baselines, one column for each of the ten classes, with the numbers in the cells."}} tags=["hide-input"]
combinations = list(published_table(4)["row"].unique())
figures.class_heatmap(results.frame("table4"), "ssim", [*combinations, *beside[-2:]])

# %% tags=["remove-input"]
from mi_core.study.overview import SHOWN_AS, highest_mean

table = results.table(4).query("metric == 'ssim'").set_index("row")
ours, theirs = table["mean"], table["published_mean"].dropna()
stand_alone = results.table(3).query("metric == 'ssim' and split == 'test' and row == 'class_average'").iloc[0]
x, o = "M_I(X~)", "M_I(O)"
seven = ours[theirs.index]
label_only = [row for row in ours.index if row.startswith("baseline: ") and row not in SHOWN_AS]
share(guess=ours[label_only].idxmax(), guess_ssim=ours[label_only].max())
share(ours_x=ours[x], ours_o=ours[o], theirs_x=theirs[x], theirs_o=theirs[o])
share(p_over_x=f"{theirs[x] / stand_alone.published_mean - 1:+.1%}", p_over_o=f"{theirs[x] / theirs[o] - 1:+.1%}")

# %% tags=["remove-input"]
scores = results.replicate_means(4).query("metric == 'ssim'")
means = scores.pivot(index="replicate", columns="row", values="value")
alone = results.replicate_means(3).query("metric == 'ssim' and split == 'test' and row == 'class_average'")
best = highest_mean(scores, seven.index, "value")
share(best=best.first, best_ssim=seven[best.first], second=best.second, second_ssim=seven[best.second])
share(agree=best.agreeing, replicates=best.count, note=results.note("table4"))
for name, other in {"over_x": alone.set_index("replicate")["value"], "over_o": means[o]}.items():
    change = means[x] / other - 1
    share(**{name: " to ".join(dict.fromkeys(f"{end:+.1%}" for end in (change.min(), change.max())))})

# %% [markdown]
# **Reading.** Of the seven, the highest mean SSIM has {glue:text}`best`, {glue:text}`best_ssim`; it is above the next,
# {glue:text}`second` with {glue:text}`second_ssim`, in {glue:text}`agree` of {glue:text}`replicates` replicates. Of the rows
# without an attack, "{glue:text}`guess`" has the highest mean, {glue:text}`guess_ssim`. $M_I(\tilde{X})$ reaches
# {glue:text}`ours_x` and $M_I(O)$ {glue:text}`ours_o`, where the thesis prints {glue:text}`theirs_x` and {glue:text}`theirs_o`.
# Against stand-alone $\tilde{X}$ ({ref}`table-3`) replicates give {glue:text}`over_x` (the thesis's tables: {glue:text}`p_over_x`);
# against $M_I(O)$, {glue:text}`over_o` ({glue:text}`p_over_o`). Scale: {glue:text}`note`.
#
# ## Training
#
# Validation outputs here are the shadow's own on $D_S^V$. What is lost between shadow and target is seen on the same images
# in the table above: $M_I(O)$ on the target's outputs for $D_F$ beside the reference $M_I(O)$ on the shadow's own.
#
# Reconstructions of the inverse models can have a bright rim. Their loss hardly sees it: SSIM is computed in windows of
# 11 pixels that lie inside the picture, so the outermost pixels enter few windows, with small weights. The MSE sees it
# in full.

# %% mystnb={"figure": {"caption": "Loss (one minus SSIM) of four inverse models after each epoch, on $D_S^T$ (solid) and on $D_S^V$ (dashed), both with outputs of the shadow.", "name": "fig-inverse-curves"}, "image": {"alt": "Line plot of loss against epoch: training and validation loss of four inverse models."}} tags=["hide-input"]
curves = results.frame("curves").query("replicate == 0")
figures.training_curves(curves, rows=["M_I(O)", "M_I(A_L)", "M_I(X~)", "M_I(O+X~)"])

# %% [markdown]
# ## Pictures
#
# The last line, *label alone*, is no attack: one fixed image for each predicted class, the baseline *SSIM-optimal class image*.
#
# For each combination the thesis shows the best reconstruction of each class. The selection is the thesis's; random and
# worst ones of $M_I(\tilde{X})$ and $M_I(O)$ follow.

# %%
scores = results.frame("table4").query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")


def pictures(row, how="best"):
    rows = figures.with_label_only(["target", row])
    return figures.strip(gallery, rows, figures.select_images(scores, row, how=how))

# %% mystnb={"figure": {"caption": "Targets and $M_I(\\tilde{X})$ (thesis Figs 13 and 14): the best image of each class.", "name": "fig-strip-x"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on the gradient reconstruction, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(X~)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O)$ (thesis Fig 27): the best image of each class.", "name": "fig-strip-o"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on the output vector, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(A_L)$ (thesis Fig 28): the best image of each class. Under `protocol code`, as in the released code, A_L is recovered with the target's weights: no gray-box attack.", "name": "fig-strip-a"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on the recovered activations, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(A_L)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O, A_L)$ (thesis Fig 29): the best image of each class. Under `protocol code`, as in the released code, A_L is recovered with the target's weights: no gray-box attack.", "name": "fig-strip-oa"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on outputs and activations, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O+A_L)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O, \\tilde{X})$ (thesis Fig 30): the best image of each class.", "name": "fig-strip-ox"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on outputs and gradient reconstruction, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O+X~)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(A_L, \\tilde{X})$ (thesis Fig 31): the best image of each class. Under `protocol code`, as in the released code, A_L is recovered with the target's weights: no gray-box attack.", "name": "fig-strip-ax"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on activations and gradient reconstruction, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(A_L+X~)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O, A_L, \\tilde{X})$ (thesis Fig 32): the best image of each class. Under `protocol code`, as in the released code, A_L is recovered with the target's weights: no gray-box attack.", "name": "fig-strip-oax"}, "image": {"alt": "Three rows of ten digits: targets, and their reconstructions by the inverse model on all three inputs, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O+A_L+X~)")

# %% mystnb={"figure": {"caption": "Targets and $M_I(\\tilde{X})$: one image per class drawn at random.", "name": "fig-strip-x-random"}, "image": {"alt": "Three rows of ten digits: targets drawn at random, and their reconstructions, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(X~)", how="random")

# %% mystnb={"figure": {"caption": "Targets and $M_I(\\tilde{X})$: the worst image of each class.", "name": "fig-strip-x-worst"}, "image": {"alt": "Three rows of ten digits: the worst reconstructed targets, and what the inverse model made of them, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(X~)", how="worst")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O)$: the worst image of each class.", "name": "fig-strip-o-worst"}, "image": {"alt": "Three rows of ten digits: the worst reconstructed targets, and what the inverse model made of them, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O)", how="worst")

# %% mystnb={"figure": {"caption": "Targets and $M_I(O)$: one image per class drawn at random.", "name": "fig-strip-o-random"}, "image": {"alt": "Three rows of ten digits: targets drawn at random, and their reconstructions, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("M_I(O)", how="random")
