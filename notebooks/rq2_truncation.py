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
# # RQ2: truncation
#
# **Question.** The target shows only its $k$ largest outputs and zeros for the others. What does that protect?
#
# The attacker knows $k$: he truncates the shadow's outputs in the same way, computes $\tilde{X}$ from truncated
# vectors, and trains an inverse model for each $k$. Truncation is the defence that {cite}`yang2019` study. A zero is
# not a low score for a logit, most of which are negative: see `truncation_fill` in {doc}`../pages/deviations`.

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %%
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_table
from mi_core.study.paper import published_table

results = open_chapter(globals(), "table6", "gallery")

# %% [markdown]
# (table-6)=
# ## Table 6: ten, five, three and one outputs

# %% tags=["hide-input"]
show_table(results, 6)

# %% mystnb={"figure": {"caption": "SSIM on $D_F$ as fewer outputs are visible, ours beside the thesis's (Table 6).", "name": "fig-truncation-ssim"}, "image": {"alt": "Dot plot with eight rows, two models at four values of k."}} tags=["hide-input"]
figures.score_comparison(results.frame("table6"), published_table(6), "ssim")

# %% mystnb={"figure": {"caption": "MSE on $D_F$ as fewer outputs are visible (Table 6); lower is better.", "name": "fig-truncation-mse"}, "image": {"alt": "Dot plot of MSE with eight rows, two models at four values of k."}} tags=["hide-input"]
figures.score_comparison(results.frame("table6"), published_table(6), "mse")

# %% tags=["remove-input"]
table = results.table(6).query("metric == 'ssim'").set_index("row")["mean"]
printed = results.table(6).query("metric == 'ssim'").set_index("row")["published_mean"]
for model, short in (("O", "o"), ("X~", "x")):
    first, last = f"M_I({model})/k=10", f"M_I({model})/k=1"
    share(**{f"{short}10": table[first], f"{short}1": table[last]})
    share(**{f"p{short}10": printed[first], f"p{short}1": printed[last]})
    by_k = [table[f"M_I({model})/k={k}"] for k in (10, 5, 3, 1)]
    share(**{f"{short}_rises": sum(few > many for many, few in zip(by_k[:-1], by_k[1:], strict=True))})
share(label_model=table["baseline: M_I(label)"], label_image=table["baseline: SSIM-optimal class image"])
share(note=results.note("table6"))

# %% tags=["remove-input"]
auc = results.replicate_means(6).query("metric == 'auc'").pivot(index="replicate", columns="row", values="value")
for model, short in (("O", "o"), ("X~", "x")):
    many, few = auc[f"M_I({model})/k=10"], auc[f"M_I({model})/k=1"]
    each = ", ".join(f"{first:.4f} to {last:.4f}" for first, last in zip(many, few, strict=True))
    share(**{f"{short}_auc10": many.mean(), f"{short}_auc1": few.mean(), f"{short}_auc_each": each})
    share(**{f"{short}_falls": int((few < many).sum())})
share(replicates=len(auc), label_auc=auc["baseline: M_I(label)"].mean())

# %% [markdown]
# **Reading.** From ten visible outputs to one, the SSIM of $M_I(O)$ goes from {glue:text}`o10` to {glue:text}`o1` (thesis:
# {glue:text}`po10` to {glue:text}`po1`), that of $M_I(\tilde{X})$ from {glue:text}`x10` to {glue:text}`x1` (thesis: {glue:text}`px10` to
# {glue:text}`px1`). It rises in {glue:text}`o_rises` of the three steps for $M_I(O)$ and in {glue:text}`x_rises` for $M_I(\tilde{X})$.
# With $k = 1$ the vector holds little but the predicted class, so a score at $k = 1$ is to be read beside the baselines:
# the same inverse model fed nothing but the predicted label has SSIM {glue:text}`label_model`, and the best fixed image
# for each class {glue:text}`label_image`.
#
# **What does that protect?** Re-identification (AUC) by $M_I(O)$ goes from {glue:text}`o_auc10` to {glue:text}`o_auc1` (per
# replicate: {glue:text}`o_auc_each`), by $M_I(\tilde{X})$ from {glue:text}`x_auc10` to {glue:text}`x_auc1` (per replicate:
# {glue:text}`x_auc_each`). It falls in {glue:text}`o_falls` and in {glue:text}`x_falls` of {glue:text}`replicates` replicates;
# chance is one half, and the predicted label alone gives {glue:text}`label_auc` through the same inverse model. A higher SSIM
# with fewer outputs is not more leakage: an image that is typical of its class scores well and tells nothing more.
# Against an attacker who adapts: {doc}`rq2_adaptive`. Scale: {glue:text}`note`.
#
# ## Pictures
#
# All rows of a figure show the same ten images. In the first two figures these are the ones that score best at $k = 10$,
# as in the thesis; then come images drawn at random, and the worst. The last line, *label alone*, is no attack: one fixed
# image for each predicted class, the baseline *SSIM-optimal class image*.

# %%
scores = results.frame("table6").query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")


def pictures(model, how):
    rows = {"target": "target", f"M_I({model})": "$k = 10$"}
    rows |= {f"M_I({model})/k={k}": f"$k = {k}$" for k in (5, 3, 1)}
    return figures.strip(gallery, figures.with_label_only(rows), figures.select_images(scores, f"M_I({model})/k=10", how=how))

# %% mystnb={"figure": {"caption": "Targets (thesis Fig 15) and $M_I(O)$ with ten, five, three and one visible outputs (Figs 16 to 19): the images that score best at ten.", "name": "fig-strip-truncation-o"}, "image": {"alt": "Six rows of ten digits; from row to row fewer outputs are visible, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("O", "best")

# %% mystnb={"figure": {"caption": "Targets (thesis Fig 20) and $M_I(\\tilde{X})$ with ten, five, three and one visible outputs (Figs 21 to 24): the images that score best at ten.", "name": "fig-strip-truncation-x"}, "image": {"alt": "Six rows of ten digits; from row to row fewer outputs are visible, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("X~", "best")

# %% mystnb={"figure": {"caption": "$M_I(\\tilde{X})$ for one image per class drawn at random.", "name": "fig-strip-truncation-x-random"}, "image": {"alt": "Six rows of ten digits drawn at random, with fewer visible outputs from row to row, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("X~", "random")

# %% mystnb={"figure": {"caption": "$M_I(O)$ for the image of each class that scores worst at ten visible outputs.", "name": "fig-strip-truncation-o-worst"}, "image": {"alt": "Six rows of ten digits with the worst reconstructions, with fewer visible outputs from row to row, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("O", "worst")

# %% mystnb={"figure": {"caption": "$M_I(O)$ for one image per class drawn at random.", "name": "fig-strip-truncation-o-random"}, "image": {"alt": "Six rows of ten digits drawn at random, with fewer visible outputs from row to row, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("O", "random")

# %% mystnb={"figure": {"caption": "$M_I(\\tilde{X})$ for the image of each class that scores worst at ten visible outputs.", "name": "fig-strip-truncation-x-worst"}, "image": {"alt": "Six rows of ten digits with the worst reconstructions, with fewer visible outputs from row to row, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("X~", "worst")
