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
# # Parameters
#
# Every chapter takes the same parameters. Its first cell names the four that one changes most; papermill sets any of those below.
# The tables are made from the code, so they are what it accepts.

# %% tags=["parameters", "remove-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["remove-input"]
from mi_core.report.chapters import chapter_names
from mi_core.report.notebook import commands, open_chapter, share, show_frame, show_parameters
from mi_core.study import parameters

open_chapter(globals())
tried = profile if profile in parameters.PROFILES else "quick"
share(tried=tried)

# %% [markdown]
# ## One chapter
#
# ```bash
# papermill notebooks/rq1_inputs.ipynb out.ipynb -p profile quick -p steps 80
# ```
#
# Repeat `-p NAME VALUE` as often as you like. A name that does not exist, a wrong type and a value out of range are refused before anything starts.
# Only what a parameter bears on is computed again. The last column says how long that takes for the value beside it, at profile {glue:text}`tried`,
# once everything else of that profile is there: an estimate, on two CPU cores with bfloat16.
#
# (study-parameters)=
# ## Sizes, seed and device

# %% tags=["remove-input"]
show_parameters("Study", tried)

# %% [markdown]
# Defaults are those of profile `paper`. The others are smaller:

# %% tags=["remove-input"]
import pandas as pd

sizes = pd.DataFrame(
    {name: study.model_dump(exclude={"protocol"}) for name, study in parameters.PROFILES.items()}
)
differing = sizes[sizes.nunique(axis=1) > 1].rename_axis("parameter").reset_index()
show_frame(differing.astype(str), "profiles")

# %% [markdown]
# (protocol-parameters)=
# ## The protocol
#
# `protocol` is `code` or `text`; each of these changes one choice on top of it. {doc}`../pages/deviations` says what they mean.

# %% tags=["remove-input"]
show_parameters("Protocol", tried)

# %% [markdown]
# ## A command for each chapter
#
# Every chapter can also be downloaded from the top of its page.

# %% tags=["remove-input"]
commands(chapter_names(), tried)
