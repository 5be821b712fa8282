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
# # Verdicts
#
# **Question.** Which of the thesis's claims and numbers does this replication support?
#
# One line for each claim and each published number, made by rules that were fixed before the results were there:
#
# - **A number matches** when the published mean lies within $\bar{x} \pm t_{n-1}\, s \sqrt{1/m + 1/n}$, where $\bar{x}$ and $s$ are mean and sample
#   standard deviation over our $n$ replicates and $m$ is how many trainings the published mean averages over its own
#   classifiers: five in Table 1, else one. Where this reaches too far to tell (`0.05` SSIM, `0.02` MSE, `0.02` F1, half the published loss) the line
#   says so. (For F1 this was `0.05` until it was seen that any F1 near one would match.) With correct numbers about one in twenty misses by chance.
#   (In Table 1 this takes the thesis's five trainings for five draws of everything; if they share a split, more will miss.)
# - **An effect** is supported when each of its paired intervals over replicates excludes zero on the claimed side and every
#   replicate agrees in sign, partly when most do.
# - **No effect** is supported when the interval lies inside a margin (`0.01` SSIM, `0.005` MSE, `0.01` F1), refuted when outside, else open.
# - All this only at the thesis's own scale, with at least three replicates; otherwise the line reads "not enough".
# - **Causes** follow from a rule as well. Of a number: within spread; our spread is too wide to tell, or another table of the thesis prints
#   a value that fits for the same experiment (other classifiers); the notebook prints another value that fits; a choice on which text and
#   code differ moves our number more than half the way to the published one ({doc}`text_and_code`, at the same scale); the scale; else
#   unknown. Of a claim: as claimed; the effect is there but not its size; replicates disagree (other classifiers); else unknown.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report.notebook import open_chapter, share, show_claims, show_frame, show_numbers
from mi_core.study.verdicts import EXPERIMENTS, claim_comparisons, in_words, verdicts

results = open_chapter(globals(), *EXPERIMENTS)
everything = verdicts(results)

# %% [markdown]
# (claims)=
# ## The ten claims
#
# A claim that rests on several comparisons shows the one that is least in its favour: of the two rows that are named as compared, the difference
# or the ratio less one, in the thesis and here. In brackets stands the interval of a difference
# over replicates; of a ratio the range in which the thesis's would match, as for the numbers below.

# %% tags=["hide-input"]
show_claims(everything)

# %% [markdown]
# When each counts as supported:

# %% tags=["hide-input"]
show_frame(everything.query("statement != ''")[["item", "rule"]], "rules")

# %% [markdown]
# (numbers)=
# ## The published numbers
#
# The brackets are not the interval of our mean, which the chapters print: they are wider, the range in which the thesis's number would match.

# %% tags=["hide-input"]
show_numbers(everything)

# %% [markdown]
# ## All comparisons
#
# P values are two-sided, of paired t tests over replicates; the adjusted ones (Holm) hold for all comparisons of a claim
# together. Where no effect is claimed none is tested: there the interval counts.

# %% tags=["hide-input"]
comparisons = claim_comparisons(results).drop(columns="opposing")
chances = comparisons[["p_value", "holm"]].map(lambda p: "< 0.0001" if p < 0.0001 else f"{p:.4f}")
shown = comparisons.round(4).replace(-0.0, 0.0).assign(**chances).astype(object).replace("nan", "—")
show_frame(shown.where(comparisons.notna(), "—"), "comparisons")

# %% tags=["remove-input"]
agreement = results.frame("agreement").groupby("metric")["value"].mean()
share(equal=f"{agreement['share of equal classes']:.1%}", correlation=agreement["correlation of outputs"])
share(note=results.note("table4"), said=in_words(everything))

# %% [markdown]
# **Reading.** {glue:text}`said`.
# Beside C6: target and shadow give the same class to {glue:text}`equal` of $D_F$, and their outputs for a class correlate with
# {glue:text}`correlation`. Scale: {glue:text}`note`.
#
# The same table on the command line: `python -m mi_core verdicts --csv`.
