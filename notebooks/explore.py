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
# # Explore
#
# Pick an image. See what the target answers, what it could hide, and what each attack makes of the rest.

# %% tags=["parameters", "remove-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["remove-input"]
from mi_core.report.explorer import EXPERIMENTS
from mi_core.report.notebook import open_chapter, share, show_explorer

results = open_chapter(globals(), *EXPERIMENTS)
share(note=results.note("gallery"), attacked=results.sizes("gallery").attack_test)

# %% tags=["remove-input"]
show_explorer(results)

# %% [markdown]
# **How to read it.**
#
# - The images are drawn at random from the {glue:text}`attacked` of $D_F$ that were attacked, at most 15 a class, with a fixed seed: nobody chose the good ones.
# - Pictures are grey from 0 (black) to 1 (white), all on that scale, in 32 shades. Scores are of the exact pixels.
# - Pictures and scores are of the first replicate, and of the first training of each $M_I$ in it; means are over all its images that were attacked. The front page and
#   the tables average over all replicates, so their means differ from these where there are several.
# - *Label alone* and *class average* use the predicted class and nothing else ({doc}`../pages/notation`). A score below such a baseline is
#   no evidence of leakage, and none against it: re-identification and the shuffled control ask that directly ({doc}`leakage`).
# - Under rounding and truncation the study attacks with $M_I(O)$ and $M_I(\tilde{X})$ only ({doc}`rq2_rounding`, {doc}`rq2_truncation`); other pictures are hatched there.
# - $A_L$ is recovered with the shadow's weights; the released code takes the target's, which the gray-box setting forbids. Those rows stand apart ({doc}`../pages/deviations`).
#
# Scale: {glue:text}`note`. To explore a run of your own, execute this chapter with another profile or seed ({doc}`../pages/reexecute`).
