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
# # Discussion
#
# **Question.** What of the thesis's conclusions do these results speak to, and what can they not say?
#
# For each of the thesis's claims the table holds the published numbers and ours. It gives no verdict: that takes
# the thesis's sizes and several replicates.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report.notebook import open_chapter, share, show_frame
from mi_core.study.claims import claims_table

results = open_chapter(globals(), "table1", "table2", "table3", "table4", "table5", "table6", "gallery")

# %% tags=["hide-input"]
share(note=results.note("table4"))
show_frame(claims_table(results), "claims")

# %% [markdown]
# Scale of all rows: {glue:text}`note`. The arrows go from ten visible outputs to one. C9 is measured as the similarity of
# reconstructions with the average image of their predicted class; whether they also lose what is particular to an
# instance needs a measure of re-identification, which this report does not have yet.
#
# ## What these numbers cannot say
#
# - **SSIM does not tell leakage from a good guess.** A picture that shows nothing but the predicted class can score well,
#   because digits of a class resemble each other: compare the baselines in {ref}`table-4` and {ref}`table-6` with the
#   attacks above them. Only what exceeds them can be leakage beyond the label.
# - **One pair of classifiers.** The thesis's spreads come from five trainings of each inverse model on one split and one pair of
#   classifiers. Replicates of this report redraw everything; their spread is another quantity.
# - **Text and code.** Where the two differ, this report follows the code by default. Some of its choices give the attacker what
#   the gray-box setting forbids ({doc}`../pages/threat_model`).
# - **MNIST.** Replicates are fresh draws from the same 70,000 images; nothing here speaks about other data.
#
# ## What the thesis leaves for later
#
# More complex data, the shadow's last feature map as input, noise on the outputs or a student model as defence, deeper
# architectures, and attacker data from another distribution.
#
# If you know of an error in this reading of the thesis, its author's correction above all, it will be put right.
