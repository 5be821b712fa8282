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
# # The library
#
# What `mi_core` offers an engineer who wants to measure how much a classifier's outputs give away: tensors in, tensors out, no files, no
# global state. Made from the docstrings of the code; unfold a name for its arguments, shapes, ranges, errors and source.
# {doc}`../pages/extend` shows it at work.

# %% tags=["parameters", "remove-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["remove-input"]
from mi_core.report.notebook import open_chapter, show_api

open_chapter(globals())
show_api()
