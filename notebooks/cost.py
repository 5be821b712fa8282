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
# # Cost
#
# **Question.** What does the study cost, how near is that to what the machine can do, and how does it grow?
#
# The thesis's released notebook computes in float32, resizes every image whenever it is read, and computes gradients of
# weights that it never uses. A plain copy of that protocol is kept as a reference: it gives the same numbers, and the time against which this
# report's own code is measured.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_frame
from mi_core.study.cost import exponents, read_benchmark, table_costs
from mi_core.study.locations import published_folder
from mi_core.study.manifest import read_manifest
from mi_core.study.overview import changed_lines, differences

results = open_chapter(globals(), "precision")
machine, speed, growth = read_benchmark(published_folder())
measured_on = f"{machine['hardware']}, {machine['threads']} threads, {machine['precision']}, commit {machine['commit'][:10]}"
share(measured_on=measured_on)

# %% [markdown]
# ## Against the plain protocol
#
# Both are timed in one run and in turns, each in a process of its own. A rate is a median; the range beside the ratio is that of
# the rounds. A share is that of the machine's own matrix products, timed in the same run: of those in float32 for the
# reference, of those in the precision that our code uses for ours. Operations are counted.

# %% tags=["hide-input"]
def rate_text(rate: float, unit: str) -> str:
    return f"{rate:,.0f} {unit}s/s" if rate >= 100 else f"{rate:.3g} {unit}s/s"


# %% tags=["hide-input"]
shares = speed[["reference_share", "product_share"]].map("{:.0%}".format).replace("nan%", "—")
columns = {
    "work": speed["work"],
    "reference": [rate_text(rate, unit) for rate, unit in zip(speed["reference"], speed["unit"], strict=True)],
    "ours": [rate_text(rate, unit) for rate, unit in zip(speed["product"], speed["unit"], strict=True)],
    "ratio": [f"{a:.1f} [{b:.1f}, {c:.1f}]" for a, b, c in speed[["ratio", "ratio_low", "ratio_high"]].to_numpy()],
    "reference, share of peak": shares["reference_share"],
    "ours, share of peak": shares["product_share"],
}
show_frame(speed[[]].assign(**columns), "speed")

# %% tags=["remove-input"]
of = speed.set_index("work")
gradient, convolutions = of.loc["gradient reconstruction"], of.loc["its convolutions alone"]
share(gradient_share=f"{gradient['product_share']:.0%}", convolution_share=f"{convolutions['product_share']:.0%}")
share(convolution_time=f"{gradient['product'] / convolutions['product']:.0%}")
share(at_most=f"{convolutions['product'] / gradient['product']:.1f}")
share(inverse_share=f"{of.loc['training M_I(O)', 'product_share']:.0%}")
share(float32=f"{of['peak_float32'].iloc[0] / 1e9:,.0f}", fast=f"{of['peak_product'].iloc[0] / 1e9:,.0f}")

# %% [markdown]
# **Reading.** Large matrix products reach {glue:text}`float32` GFLOP/s in float32 here and {glue:text}`fast` in the precision of our code. Gradient
# reconstruction reaches {glue:text}`gradient_share` of that. Its convolutions alone, with nothing between them, reach {glue:text}`convolution_share`: with these
# convolutions nothing is more than {glue:text}`at_most` times as fast. They take {glue:text}`convolution_time` of the time. The rest goes to pooling and its gradient, which move numbers and
# multiply none. The inverse model reaches {glue:text}`inverse_share`: its layers are small, and batch norm, dropout and the update of its weights touch every number for few
# operations. Measured on {glue:text}`measured_on`.
#
# ## Precision
#
# Where the hardware multiplies bfloat16, trainings and reconstructions use it. Everything was computed again in float32, from the same split
# and the same seeds: classifiers, reconstructions and inverse models. float32 minus the study's own precision:

# %% mystnb={"figure": {"caption": "What float32 changes in three rows of $D_F$.", "name": "fig-precision"}, "image": {"alt": "Forest plot: float32 minus the study's own precision in SSIM, MSE and AUC for the gradient reconstruction and two inverse models."}} tags=["hide-input"]
rows = ("X~/class_average", "M_I(O)", "M_I(X~)")
changes = differences(changed_lines(results, "precision"), [(f"float32 | {row}", f" | {row}") for row in rows])
named = changes.assign(label=[name.partition(" | ")[2] for name in changes["label"]], reference="own precision")
figures.difference_forest(named)

# %% tags=["remove-input"]
largest = {metric: changes.loc[changes["metric"] == metric, "mean"].abs().max() for metric in ("ssim", "mse", "auc")}
share(precision_note=results.note("precision"), **{f"largest_{metric}": value for metric, value in largest.items()})

# %% [markdown]
# The largest differences are {glue:text}`largest_ssim` in SSIM, {glue:text}`largest_mse` in MSE and {glue:text}`largest_auc` in AUC. They are those of two whole studies:
# rounding is soon amplified by training, as another seed would be. Scale: {glue:text}`precision_note`.
#
# ## Tables
#
# What each published table takes from nothing, with all that it shares with other tables. Seconds are those of the replicate that took the fewest:
# what else the machine had to do meanwhile can only add to them. Operations are those of trainings and reconstructions.

# %% tags=["hide-input"]
operations = of["operations"].to_dict()
costs = table_costs(read_manifest(published_folder()), operations)
costs["seconds"] = costs["seconds"].map("{:,.0f}".format)
costs["operations"] = costs["operations"].map(lambda count: f"{count / 1e12:,.0f} TFLOP")
costs["peak memory"] = costs.pop("peak_memory_mib").map(lambda size: f"{size:,} MiB")
show_frame(costs, "costs")

# %% [markdown]
# ## Growth
#
# Three sizes of each thing that can grow. Images and steps are those of gradient reconstructions. The image side is that of 32 images which go through
# the shadow's three blocks and back. Replicates are repetitions of Table {ref}`3 <table-3>` at the profile `smoke`.

# %% mystnb={"figure": {"caption": "Seconds against sizes, with a fitted power law. Both scales are logarithmic.", "name": "fig-growth"}, "image": {"alt": "Four panels: seconds against images, steps, image side and replicates, each with a straight line through three points."}} tags=["hide-input"]
fitted = exponents(growth)
figures.growth_lines(growth, fitted)

# %% tags=["remove-input"]
share(**{f"grow_{what.split()[-1]}": f"{exponent:.2f}" for what, exponent in fitted.items()})

# %% [markdown]
# The exponents are {glue:text}`grow_images` for images, {glue:text}`grow_steps` for steps, {glue:text}`grow_replicates` for replicates and {glue:text}`grow_side` for the side of the
# images, where twice the side is four times the pixels.
#
# ## At the thesis's sizes
#
# The same count for the profile `paper`, all five replicates, whatever has been computed of it:

# %% tags=["hide-input"]
from mi_core.study.cost import profile_operations

peak = of["peak_product"].iloc[0]
total = profile_operations("paper", operations)
share(total=f"{total / 1e15:,.1f}", hours=f"{total / (peak * gradient['product_share']) / 3600:,.0f}")

# %% [markdown]
# {glue:text}`total` PFLOP for Tables {ref}`1 <table-1>` to {ref}`6 <table-6>`. At the share of the peak that gradient reconstruction reaches, that is {glue:text}`hours` hours on the machine of
# the benchmark, and more where inverse models prevail: the thesis's sizes want a GPU.
