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
# # Target and shadow
#
# **Question.** How good are the two classifiers, and does the shadow behave like the target?
#
# Both are the same network, {numref}`fig-classifier-blocks`: three blocks of convolution, batch norm, max pooling and ReLU, then two
# linear layers with dropout between them. In the thesis, Adam with its usual step size, cross-entropy, batches of 32 and 20
# epochs train each on its own 10,000 images. The thesis compares ten heads first (Table 1), settles on dropout without an activation, and then
# reports both classifiers (Table 2).

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %%
from mi_core.report import figures
from mi_core.report.diagrams import layer_blocks, layer_table
from mi_core.report.notebook import open_chapter, share, show_table
from mi_core.study.overview import highest_mean
from mi_core.study.paper import published_table

results = open_chapter(globals(), "table1", "table2", "architecture", "confusion", "curves")

# %% [markdown]
# ## The network

# %% mystnb={"figure": {"caption": "The classifier's blocks (thesis Fig 1). Shapes are read off a forward pass.", "name": "fig-classifier-blocks"}, "image": {"alt": "A row of boxes from a 1 by 32 by 32 image through feature maps of 128, 256 and 512 channels to 50 activations and 10 outputs."}} tags=["hide-input"]
layers = results.frame("architecture")
layer_blocks(layers, "classifier")

# %% mystnb={"figure": {"caption": "Layers of target and shadow (thesis Fig 25).", "name": "fig-classifier-layers"}, "image": {"alt": "A list of the classifier's layers with their output shapes and parameter counts."}} tags=["hide-input"]
layer_table(layers, "classifier")

# %% [markdown]
# (table-1)=
# ## Table 1: the ten heads
#
# The thesis trains each head five times and averages; here each replicate trains each head once.

# %% tags=["hide-input"]
show_table(results, 1)

# %% mystnb={"figure": {"caption": "Weighted F1 on the target's validation set for each head, ours beside the thesis's mean and spread (Table 1).", "name": "fig-heads"}, "image": {"alt": "Dot plot with ten rows, one for each head; ours as dots, the thesis's as diamonds with error bars."}} tags=["hide-input"]
figures.head_comparison(results.frame("table1"), published_table(1), "f1", "target_validation")

# %% tags=["remove-input"]
heads = results.table(1).query("metric == 'f1'").sort_values("mean")
chosen = heads[heads.row == "None/dropout"].iloc[0]
best = highest_mean(results.replicate_means(1).query("metric == 'f1'"), heads["row"], "value")
share(best_head=best.first, second_head=best.second, best_f1=heads.iloc[-1]["mean"], worst_head=heads.iloc[0].row)
share(agree=best.agreeing, replicates=best.count, second_f1=heads.iloc[-2]["mean"])
share(worst_f1=heads.iloc[0]["mean"], chosen_f1=chosen["mean"], chosen_published=chosen.published_mean)
sizes = results.sizes("table1")
share(profile=results.profile("table1"), images=sizes.head_images, epochs=sizes.head_epochs)

# %% [markdown]
# **Reading.** The head that the thesis chose, None/dropout, reaches an F1 of {glue:text}`chosen_f1` here (thesis:
# {glue:text}`chosen_published`). The highest mean has {glue:text}`best_head`, {glue:text}`best_f1`; it is above the next,
# {glue:text}`second_head` with {glue:text}`second_f1`, in {glue:text}`agree` of {glue:text}`replicates` replicates. The lowest
# has {glue:text}`worst_head`, {glue:text}`worst_f1`. This table is of profile {glue:text}`profile`, {glue:text}`images`
# images and {glue:text}`epochs` epochs a head; with fewer than the thesis's, heads that learn slowly can be behind for that
# reason.
#
# (table-2)=
# ## Table 2: target and shadow

# %% tags=["hide-input"]
show_table(results, 2)

# %% tags=["remove-input"]
pair = results.table(2).query("metric == 'f1'").set_index("row")
share(f1_t=pair.loc["M_T", "mean"], f1_s=pair.loc["M_S", "mean"])
share(p_t=pair.loc["M_T", "published_mean"], p_s=pair.loc["M_S", "published_mean"])
both = results.replicate_means(2).query("metric == 'f1'").pivot(index="replicate", columns="row", values="value")
gaps = both["M_T"] - both["M_S"]
share(gap=" to ".join(dict.fromkeys(f"{end:+.4f}" for end in (gaps.min(), gaps.max()))))

# %% mystnb={"figure": {"caption": "Confusion matrices of the target on its validation set and of the shadow on its own (thesis Fig 7). Colours are shares of a row, numbers are images.", "name": "fig-confusion"}, "image": {"alt": "Two ten by ten matrices, true classes down, predicted classes across, with image counts."}} tags=["hide-input"]
figures.confusion_matrices(results.frame("confusion").query("replicate == 0"))

# %% mystnb={"figure": {"caption": "Losses of target and shadow after each epoch. Training losses are means over an epoch's batches with dropout on.", "name": "fig-classifier-curves"}, "image": {"alt": "Line plot of loss against epoch: training and validation loss of both classifiers."}} tags=["hide-input"]
figures.training_curves(results.frame("curves").query("replicate == 0"), rows=["M_T", "M_S"])

# %% [markdown]
# **Reading.** Target and shadow reach {glue:text}`f1_t` and {glue:text}`f1_s` (thesis: {glue:text}`p_t` and
# {glue:text}`p_s`); target less shadow, replicates give {glue:text}`gap`. An equal F1 does not make the two interchangeable: it compares predicted classes,
# while the attack inverts logits, and everything that it learns about logits it learns from the shadow.
