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
# # RQ2: rounding
#
# **Question.** Does rounding the output vector to one decimal protect the image?
#
# The thesis rounds logits; how much one decimal removes depends on how far these spread. Its text computes everything from
# rounded outputs; its notebook trains the inverse model on exact outputs and rounds only what it is tested on, which is the
# default here (`round_training`). Under that default the rounded rows evaluate the very same trained model as the exact
# rows, and the comparison is paired.

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %%
import pandas as pd

from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_table
from mi_core.study.paper import published_table

results = open_chapter(globals(), "table5", "gallery")

# %% [markdown]
# (table-5)=
# ## Table 5: exact and rounded outputs

# %% tags=["hide-input"]
show_table(results, 5)

# %% mystnb={"figure": {"caption": "SSIM on $D_F$ with exact and with rounded outputs, ours beside the thesis's (Table 5).", "name": "fig-rounding"}, "image": {"alt": "Dot plot: exact and rounded outputs for two inverse models, then baselines and references."}} tags=["hide-input"]
figures.score_comparison(results.frame("table5"), published_table(5), "ssim")

# %% tags=["remove-input"]
frame = results.frame("table5")
wide = frame.pivot_table(index=["replicate", "inverse_seed", "image"], columns="row", values="ssim")
changes = pd.DataFrame({m: wide[f"M_I({m})/rounded"] - wide[f"M_I({m})/exact"] for m in ("O", "X~")})
share(o_mean=f"{changes['O'].mean():+.5f}", x_mean=f"{changes['X~'].mean():+.5f}")
share(o_largest=changes["O"].abs().max(), x_largest=changes["X~"].abs().max())

# %% tags=["remove-input"]
auc = results.replicate_means(5).query("metric == 'auc'").pivot(index="replicate", columns="row", values="value")
fits_tenth = True
for model, short in (("O", "o"), ("X~", "x")):
    exact, rounded = auc[f"M_I({model})/exact"], auc[f"M_I({model})/rounded"]
    change = rounded - exact
    fits_tenth &= (-change < 0.1 * (exact - 0.5)).all()
    ends = dict.fromkeys(f"{end:+.5f}" for end in (change.min(), change.max()))
    share(**{f"{short}_auc": exact.mean(), f"{short}_auc_change": " to ".join(ends)})
share(taken="less than a tenth in every replicate" if fits_tenth else "a tenth or more in some replicate")
share(note=results.note("table5"))

# %% [markdown]
# **Reading.** Image by image, rounding changes the SSIM of $M_I(O)$ by {glue:text}`o_mean` on average and by
# {glue:text}`o_largest` at most; that of $M_I(\tilde{X})$ by {glue:text}`x_mean` and {glue:text}`x_largest`.
#
# **Does it protect?** What tells one image from another is re-identification (AUC), {glue:text}`o_auc` for $M_I(O)$ and
# {glue:text}`x_auc` for $M_I(\tilde{X})$ from exact outputs, where chance is one half. Rounding changes it by
# {glue:text}`o_auc_change` and by {glue:text}`x_auc_change` (from replicate to replicate). Of what either attack has above
# chance, rounding takes {glue:text}`taken`. That is against this attacker; for one who adapts, and for other defences:
# {doc}`rq2_adaptive`. Scale: {glue:text}`note`.

# %% mystnb={"figure": {"caption": "One image per class drawn at random: targets, reconstructions from exact and rounded outputs, and what the predicted class alone gives.", "name": "fig-strip-rounding"}, "image": {"alt": "Six rows of ten digits: targets, then for each of two inverse models a row from exact and one from rounded outputs, then one fixed image for each predicted class."}} tags=["hide-input"]
scores = frame.query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")
rows = figures.with_label_only(["target", "M_I(O)", "M_I(O)/rounded", "M_I(X~)", "M_I(X~)/rounded"])
figures.strip(gallery, rows, figures.select_images(scores, "M_I(X~)/exact", how="random"))
