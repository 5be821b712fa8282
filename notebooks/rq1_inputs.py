# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     cell_metadata_filter: tags,mystnb,-all
#     notebook_metadata_filter: kernelspec,jupytext,-all
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RQ1: which inputs help?
#
# **Question.** The inverse model can be given the output vector $O$, the recovered activations $A_L$, the gradient
# reconstruction $\tilde{X}$, or several of them. Which combination gives the best reconstructions of images that the target
# saw?
#
# The inverse model is a transposed CNN, {numref}`fig-inverse-blocks`. It is trained on the attacker's $D_S^T$ with the outputs of the
# shadow, and tested on $D_F$ with the outputs of the target. Its loss is one minus SSIM {cite}`wang2004`.

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computes what is missing
seed = 0  # from which every random draw is derived
protocol = "code"  # or "text": what the thesis's released notebook does, or what its text says
device = "auto"  # or "cpu", "cuda"

# %%
from mi_core.report import figures
from mi_core.report.diagrams import layer_blocks, layer_table
from mi_core.report.notebook import open_chapter, share, show_table
from mi_core.study.paper import published_table

results = open_chapter(globals(), "table3", "table4", "architecture", "curves", "gallery")

# %% [markdown]
# ## The inverse model

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-inverse-blocks", "caption": "The inverse model's blocks (thesis Fig 2), here with the ten outputs as input; A_L has 50 numbers, X~ 1,024."}, "image": {"alt": "A row of boxes from ten inputs through feature maps of 512, 256 and 128 channels to a 1 by 32 by 32 image."}}
layers = results.frame("architecture")
layer_blocks(layers, "inverse model")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-inverse-layers", "caption": "Layers of the inverse model (thesis Fig 26)."}, "image": {"alt": "A list of the inverse model's layers with their output shapes and parameter counts."}}
layer_table(layers, "inverse model")

# %% [markdown]
# (table-4)=
# ## Table 4: seven combinations
#
# Rows marked *shadow-weights* are not in the thesis. Its notebook recovers the $A_L$ of $D_F$ with the weights of the
# *target*, which a gray-box attacker does not have; beside each such row stands the same inverse model on $A_L$ recovered
# with the shadow's.

# %% tags=["hide-input"]
show_table(results, 4)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-combinations-ssim", "caption": "SSIM on $D_F$ for each combination: ours, its spread over images, and the published mean and spread (Table 4)."}, "image": {"alt": "Dot plot, one line for each combination of inputs; ours as dots, the thesis's as diamonds."}}
figures.score_comparison(results.frame("table4"), published_table(4), "ssim")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-combinations-mse", "caption": "MSE on $D_F$ for each combination (Table 4); lower is better."}, "image": {"alt": "Dot plot of MSE, one line for each combination of inputs."}}
figures.score_comparison(results.frame("table4"), published_table(4), "mse")

# %% tags=["remove-input"]
table = results.table(4).query("metric == 'ssim'").set_index("row")
ours, theirs = table["mean"], table["published_mean"].dropna()
stand_alone = results.table(3).query("metric == 'ssim' and split == 'test' and row == 'class_average'").iloc[0]
x, o = "M_I(X~)", "M_I(O)"
share(best=ours.idxmax(), best_ssim=ours.max(), ours_x=ours[x], ours_o=ours[o], theirs_x=theirs[x], theirs_o=theirs[o])
share(over_x=f"{ours[x] / stand_alone['mean'] - 1:+.1%}", over_o=f"{ours[x] / ours[o] - 1:+.1%}")
share(p_over_x=f"{theirs[x] / stand_alone.published_mean - 1:+.1%}", p_over_o=f"{theirs[x] / theirs[o] - 1:+.1%}")
share(note=results.note("table4"))

# %% [markdown]
# **Reading.** Here {glue:text}`best` has the highest SSIM of all rows, {glue:text}`best_ssim`. $M_I(\tilde{X})$ reaches
# {glue:text}`ours_x` and $M_I(O)$ {glue:text}`ours_o`, where the thesis prints {glue:text}`theirs_x` and {glue:text}`theirs_o`.
# Against stand-alone $\tilde{X}$ ({ref}`table-3`) that is {glue:text}`over_x` (from the thesis's tables: {glue:text}`p_over_x`);
# against $M_I(O)$ it is {glue:text}`over_o` ({glue:text}`p_over_o`). Scale: {glue:text}`note`.
#
# ## Training
#
# Validation outputs here are the shadow's own on $D_S^V$: the gap to the scores on $D_F$ above is what is lost between shadow and
# target.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-inverse-curves", "caption": "Loss (one minus SSIM) of four inverse models after each epoch, on $D_S^T$ (solid) and on $D_S^V$ (dashed), both with outputs of the shadow."}, "image": {"alt": "Falling curves of training and validation loss of four inverse models."}}
curves = results.frame("curves").query("replicate == 0")
figures.training_curves(curves, rows=["M_I(O)", "M_I(A_L)", "M_I(X~)", "M_I(O+X~)"])

# %% [markdown]
# ## Pictures
#
# For each combination the thesis shows the best reconstruction of each class. The selection is the thesis's; random and
# worst ones of $M_I(\tilde{X})$ and $M_I(O)$ follow.

# %%
scores = results.frame("table4").query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")


def pictures(row, how="best"):
    return figures.strip(gallery, ["target", row], figures.select_images(scores, row, how=how))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-x", "caption": "Targets and $M_I(\\tilde{X})$ (thesis Figs 13 and 14): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on the gradient reconstruction."}}
pictures("M_I(X~)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-o", "caption": "Targets and $M_I(O)$ (thesis Fig 27): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on the output vector."}}
pictures("M_I(O)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-a", "caption": "Targets and $M_I(A_L)$ (thesis Fig 28): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on the recovered activations."}}
pictures("M_I(A_L)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-oa", "caption": "Targets and $M_I(O, A_L)$ (thesis Fig 29): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on outputs and activations."}}
pictures("M_I(O+A_L)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-ox", "caption": "Targets and $M_I(O, \\tilde{X})$ (thesis Fig 30): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on outputs and gradient reconstruction."}}
pictures("M_I(O+X~)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-ax", "caption": "Targets and $M_I(A_L, \\tilde{X})$ (thesis Fig 31): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on activations and gradient reconstruction."}}
pictures("M_I(A_L+X~)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-oax", "caption": "Targets and $M_I(O, A_L, \\tilde{X})$ (thesis Fig 32): the best image of each class."}, "image": {"alt": "Two rows of ten digits: targets, and their reconstructions by the inverse model on all three inputs."}}
pictures("M_I(O+A_L+X~)")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-x-random", "caption": "Targets and $M_I(\\tilde{X})$: one image per class drawn at random."}, "image": {"alt": "Two rows of ten digits: targets drawn at random, and their reconstructions."}}
pictures("M_I(X~)", how="random")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-x-worst", "caption": "Targets and $M_I(\\tilde{X})$: the worst image of each class."}, "image": {"alt": "Two rows of ten digits: the worst reconstructed targets, and what the inverse model made of them."}}
pictures("M_I(X~)", how="worst")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-strip-o-random", "caption": "Targets and $M_I(O)$: one image per class drawn at random."}, "image": {"alt": "Two rows of ten digits: targets drawn at random, and their reconstructions."}}
pictures("M_I(O)", how="random")
