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
# # Provenance
#
# **Question.** Which code, which machine and which seeds gave the published numbers, and how long did they take?
#
# Each published artefact carries this record in its own file; the table collects them from `results/manifest.json`.
# Seconds are those of an artefact and of everything below it, so they count shared steps in each row that needs them.
# {doc}`../pages/howbuilt` says what a key is.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
import pandas as pd

from mi_core.report.notebook import open_chapter, share, show_frame
from mi_core.study.locations import published_folder
from mi_core.study.manifest import read_manifest

results = open_chapter(globals())

# %% [markdown]
# ## Published artefacts

# %% tags=["hide-input"]
entries = read_manifest(published_folder())
columns = {
    "profile": [entry.profile for entry in entries],
    "experiment": [entry.experiment for entry in entries],
    "replicate": [entry.replicate for entry in entries],
    "key": [entry.key[:12] for entry in entries],
    "seconds": [f"{entry.seconds:,.0f}" for entry in entries],
    "commit": [", ".join(commit[:10] for commit in entry.provenance["commit"]) for entry in entries],
    "superseded": [entry.superseded or "—" for entry in entries],
}
show_frame(pd.DataFrame(columns), "artefacts")

# %% [markdown]
# ## Machines and versions

# %% tags=["hide-input"]
machines = {}
for entry in entries:
    record = entry.provenance
    used = {name: record[name] for name in ("hardware", "device", "threads", "precision")} | record["versions"]
    for name, values in used.items():
        machines.setdefault((entry.profile, name), set()).update(values)
rows = [(*key, ", ".join(sorted(values))) for key, values in machines.items()]
profiles = ", ".join(dict.fromkeys(entry.profile for entry in entries))
share(entries=len(entries), profiles=profiles or "none")
show_frame(pd.DataFrame(rows, columns=["profile", "what", "value"]), "machines")

# %% [markdown]
# {glue:text}`entries` artefacts are published, of the profiles {glue:text}`profiles`. All use the seed 0; the random stream of each
# replicate is derived from it and the replicate's number. The raw data are those whose checksums {doc}`../pages/data` lists.
