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
# # What do a classifier's outputs give away?
#
# A classifier answers with ten numbers. How much of the image that went in can an attacker draw from them, if he knows
# the classifier's architecture but not its weights, and has images of his own from the same distribution?
#
# This report re-executes a bachelor's thesis on that question, {cite}`thielen2024`: every table and every figure,
# from the raw MNIST images to the rendered page, with the published number beside ours. The thesis trains a **shadow** of
# the target, inverts outputs by gradient descent through it ($\tilde{X}$), recovers the activations before its last layer
# ($A_L$), and trains a transposed CNN, the **inverse model** $M_I$, to turn combinations of the output vector $O$, $A_L$ and
# $\tilde{X}$ back into images. It asks two things:
#
# - **RQ1**: which inputs of the inverse model give the best reconstructions? ({doc}`rq1_inputs`)
# - **RQ2**: what do rounding and truncating the outputs protect? ({doc}`rq2_rounding`, {doc}`rq2_truncation`)

# %% tags=["parameters", "remove-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["remove-input"]
from mi_core.report.figures import select_images, strip
from mi_core.report.notebook import open_chapter, scale_note, share

results = open_chapter(globals(), "table1", "table2", "table3", "table4", "table5", "table6", "gallery")

# %% [markdown]
# ## One picture

# %% mystnb={"figure": {"caption": "One image per class, drawn at random, not chosen. From above: the image that the target saw; the gradient reconstruction from the class average; the inverse model on the output vector; on the gradient reconstruction; the same when the target hides all but its largest output; and no attack at all: one fixed image for each predicted class, chosen for its SSIM with the attacker's own images.", "name": "fig-overview"}, "image": {"alt": "Six rows of ten digits: true images, four kinds of reconstruction, and one fixed image for each predicted class."}} tags=["remove-input"]
scores = results.frame("table4").query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")
drawn = select_images(scores, "M_I(X~)", how="random")
guess = "baseline: SSIM-optimal class image"
strip(gallery, ["target", "X~/class_average", "M_I(O)", "M_I(X~)", "M_I(X~)/k=1", guess], drawn)

# %% [markdown]
# ## The headline numbers

# %% tags=["remove-input"]
def row(number, name, metric="ssim", split="test"):
    table = results.table(number)
    return table[(table.row == name) & (table.metric == metric) & (table.split == split)].iloc[0]


stand_alone, from_outputs, from_gradient = row(3, "class_average"), row(4, "M_I(O)"), row(4, "M_I(X~)")
one, ten = row(6, "M_I(X~)/k=1"), row(6, "M_I(X~)/k=10")
share(x=stand_alone["mean"], o=from_outputs["mean"], g=from_gradient["mean"], k1=one["mean"], k10=ten["mean"])
share(px=stand_alone.published_mean, po=from_outputs.published_mean, pg=from_gradient.published_mean)
share(pk1=one.published_mean, pk10=ten.published_mean, profile=results.profile("table4"), n=int(from_gradient.n))

# %% tags=["remove-input"]
seven = results.table(4).query("metric == 'ssim' and published_mean.notna()")  # without our own rows
best = seven.sort_values("mean").iloc[-1]
share(best=best.row, best_ssim=best["mean"])
guess = results.table(4).query("metric == 'ssim' and row == 'baseline: SSIM-optimal class image'").iloc[0]
share(guess=guess["mean"], relation="above" if guess["mean"] > best["mean"] else "below")

# %% [markdown]
# | SSIM on the test set $D_F$ | thesis | here |
# |---|---|---|
# | stand-alone $\tilde{X}$, from the class average | {glue:text}`px` | {glue:text}`x` |
# | inverse model on $O$ | {glue:text}`po` | {glue:text}`o` |
# | inverse model on $\tilde{X}$ | {glue:text}`pg` | {glue:text}`g` |
# | inverse model on $\tilde{X}$, all ten outputs visible ($k = 10$) | {glue:text}`pk10` | {glue:text}`k10` |
# | inverse model on $\tilde{X}$, only the largest visible ($k = 1$) | {glue:text}`pk1` | {glue:text}`k1` |
# | no attack: one fixed image for each predicted class | — | {glue:text}`guess` |
#
# The thesis finds that the gradient reconstruction is the best input of the inverse model, that rounding to one decimal
# changes nothing, and that truncation *raises* SSIM while reconstructions drift towards the average of their class. Of its
# seven combinations, {glue:text}`best` has the highest SSIM here ({glue:text}`best_ssim`). The last line uses the predicted class and nothing else: it is
# {glue:text}`relation` the best of the seven. Scores in this report always stand beside such baselines, since an attack
# shows leakage beyond the label only where it does better than they do.
#
# ```{admonition} How far to trust these numbers
# :class: important
# The column "here" was computed at profile **{glue:text}`profile`** with {glue:text}`n` replicate(s); the thesis's own sizes
# are profile `paper`. Every table says at which scale it stands. Below `paper` no number here says whether the thesis's
# reproduces: fewer images and steps make other numbers.
# ```

# %% tags=["remove-input"]
scale_note(results, 1, 2, 3, 4, 5, 6)

# %% [markdown]
# ## Where to go from here
#
# - {doc}`workflow` shows the attack as two diagrams; {doc}`../pages/threat_model` says who knows what.
# - {doc}`data_and_splits`, {doc}`classifiers`, {doc}`gradient_reconstructions`, {doc}`rq1_inputs`, {doc}`rq2_rounding` and
#   {doc}`rq2_truncation` are the study.
# - {doc}`leakage` asks what the reconstructions show beyond the class, {doc}`text_and_code` what the thesis's two versions of the protocol
#   do to the numbers; {doc}`verdicts` judges every claim and number by fixed rules, and {doc}`discussion` says what it comes to.
# - {doc}`../pages/deviations` lists where the thesis's text and its code differ, and where this report departs from either.
# - {doc}`../pages/reexecute` tells how to run any chapter with other parameters.
