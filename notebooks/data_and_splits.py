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
# # Data and splits
#
# **Question.** Which images does the target learn from, which does the attacker hold, and are they really disjoint?
#
# The thesis takes 2,000 images of each class from MNIST's training file and halves them at random between target
# ($D_T^T$) and shadow ($D_S^T$). It takes 400 of each class from the test file and cuts them into two validation sets and the
# final test set $D_F$. Images are resized from 28 to 32 pixels a side and scaled to $[0, 1]$. {doc}`../pages/data` says where
# MNIST comes from and under which licence.

# %% tags=["parameters"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %%
from mi_core.report.figures import class_histograms
from mi_core.report.notebook import open_chapter, share, show_frame

results = open_chapter(globals(), "class_counts")

# %% [markdown]
# ## Sizes

# %% tags=["hide-input"]
counts = results.frame("class_counts")
first = counts[counts.replicate == 0]
sizes = first.groupby("split", sort=False)["images"].agg(images="sum", smallest_class="min", largest_class="max")
share(smallest=int(first.images[first.split == "target_train"].min()))
share(largest=int(first.images[first.split == "target_train"].max()))
show_frame(sizes.reset_index(), "splits")

# %% [markdown]
# (fig-3)=
# ## Class counts
#
# The draw is balanced but the halving is not stratified: in $D_T^T$ the smallest class has {glue:text}`smallest` images and the
# largest {glue:text}`largest`, as in the thesis's histograms.

# %% mystnb={"figure": {"caption": "Images per class in the target's training set, the shadow's training set and the final test set (thesis Fig 3). Every replicate of this report draws its own; this is the first.", "name": "fig-class-counts"}, "image": {"alt": "Three bar charts with ten bars each; bars within a chart differ a little."}} tags=["hide-input"]
class_histograms(first)

# %% [markdown]
# A test of the package checks that the five sets share no image, and that the same seed draws the same sets. Every
# other random draw of the study has a stream of its own, named by its purpose, so that changing one step never shifts
# another.
