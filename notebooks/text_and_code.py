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
# # Text against code
#
# **Question.** Where the thesis's text and its released notebook differ, what does each difference do to the numbers?
#
# One choice of the protocol is changed at a time, everything else equal: the same split, classifiers and seeds. With the choices on
# which text and code differ come some that both share or leave open (step size, own search, truncation, probabilities). The
# reference is the notebook's protocol, or what is named below a line. {doc}`../pages/deviations` lists the choices and their
# sources.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report import figures
from mi_core.report.notebook import open_chapter, share, show_frame, show_measures
from mi_core.study.overview import change_pairs, changed_lines, differences
from mi_core.study.results import open_results

results = open_chapter(globals(), "comparison", "table4", "gallery")
lines = changed_lines(results)
changes = differences(lines, change_pairs())
share(compared=lines["image"].nunique(), attack_training=results.sizes("comparison").attack_training)

# %% [markdown]
# Here {glue:text}`compared` images are attacked and $M_I$ is trained on {glue:text}`attack_training`; other chapters may have
# other scales. With the code's protocol unchanged:

# %% tags=["hide-input"]
show_measures(results, lines[lines["change"] == ""], ["ssim", "mse", "auc", "to_class_average"], "levels", "comparison")

# %% tags=["remove-input"]
means = lines.groupby("line")[["mse", "auc", "to_class_average"]].mean()
still = means["to_class_average"].loc[[f"{name} | X~/class_average" for name in ("update=gradient_descent", "protocol=text")]]
share(still=still.iloc[0], text_still=still.iloc[1], text_auc=means.loc["protocol=text | M_I(X~)", "auc"])
worse = [row for row in ("M_I(O)", "M_I(X~)", "M_I(A_L)") if means.mse[f" | {row}"] > means.mse[" | baseline: black image"]]
share(worse=", ".join(worse) or "none of them")

# %% [markdown]
# What follows are differences, so look at these levels first. An inverse model whose MSE is above that of a black image is hardly trained (here: {glue:text}`worse`);
# what speeds up its training then moves it much. An $\tilde{X}$ that keeps an SSIM near one with the class average that it begins from is
# hardly an attack: by plain gradient descent with the thesis's step size it keeps {glue:text}`still`, under all of the text's choices {glue:text}`text_still` ($M_I(\tilde{X})$ there has an AUC of {glue:text}`text_auc`).
#
# Stand-alone $\tilde{X}$ first, then the inverse models. With one replicate an interval is a bootstrap over its
# images, the models being given: another training may move a row by more. With several it is Student's t over replicates.

# %%
def forest(row):
    chosen = changes[changes["label"].str.endswith(f"| {row}")]
    names = {side: chosen[side].str.partition(" | ")[0].replace("", "code") for side in ("label", "reference")}
    return figures.difference_forest(chosen.assign(**names))

# %% mystnb={"figure": {"caption": "Stand-alone $\\tilde{X}$ from the class average: changed minus unchanged.", "name": "fig-changes-gradient"}, "image": {"alt": "Forest plot: what each change of the protocol does to SSIM, MSE and AUC of the gradient reconstruction."}} tags=["hide-input"]
forest("X~/class_average")

# %% mystnb={"figure": {"caption": "$M_I(\\tilde{X})$: changed minus unchanged.", "name": "fig-changes-x"}, "image": {"alt": "Forest plot: what each change does to the inverse model on the gradient reconstruction."}} tags=["hide-input"]
forest("M_I(X~)")

# %% mystnb={"figure": {"caption": "$M_I(O)$: changed minus unchanged.", "name": "fig-changes-o"}, "image": {"alt": "Forest plot: what each change does to the inverse model on the output vector."}} tags=["hide-input"]
forest("M_I(O)")

# %% mystnb={"figure": {"caption": "$M_I(A_L)$: changed minus unchanged. The notebook recovers $A_L$ of $D_F$ with the target's weights.", "name": "fig-changes-a"}, "image": {"alt": "Forest plot: what each change does to the inverse model on recovered activations."}} tags=["hide-input"]
forest("M_I(A_L)")

# %% [markdown]
# In numbers, changed minus unchanged; the file below the table also has the rows with rounded and with truncated outputs.

# %% tags=["hide-input"]
def told(line):
    return f"{line['mean']:+.4f}" + (f" [{line.low:+.4f}, {line.high:+.4f}]" if line.low == line.low else "")


sides = {side: changes[side].str.partition(" | ") for side in ("label", "reference")}
named = {"change": sides["label"][0], "row": sides["label"][2], "compared with": sides["reference"][0].replace("", "code")}
table = changes.drop(columns=["label", "reference", "agreeing"]).assign(**named, told=changes.apply(told, axis=1))
of_inputs = table[table["row"].isin(["X~/class_average", "M_I(X~)", "M_I(O)", "M_I(A_L)"])]
wide = of_inputs.pivot_table(index=[*named], columns="metric", values="told", aggfunc="first", sort=False)
wide = wide.rename(columns={"ssim": "SSIM", "mse": "MSE", "auc": "AUC"}).reset_index()
show_frame(wide, "changes", data=table[[*named, "metric", "mean", "low", "high", "count"]])

# %% [markdown]
# ## Best, random, worst
#
# The thesis shows the best image of each class. The same rows with images drawn at random, and the worst. The last line,
# *label alone*, is no attack: one fixed image for each predicted class, the baseline *SSIM-optimal class image*. Pictures
# and scores of this section are at the scale of {doc}`rq1_inputs`.

# %% tags=["hide-input"]
shown = open_results(profile, together=("table4", "gallery")) if profile == "published" else results
scores = shown.frame("table4").query("replicate == 0")
gallery = shown.frame("gallery").query("replicate == 0")
chosen = {how: figures.select_images(scores, "M_I(X~)", how=how) for how in ("best", "random", "worst")}
mean_of = {how: scores.query("row == 'M_I(X~)' and image in @images")["ssim"].mean() for how, images in chosen.items()}


def pictures(how):
    rows = figures.with_label_only(["target", "X~/class_average", "M_I(X~)", "M_I(O)"])
    return figures.strip(gallery, rows, chosen[how])

# %% mystnb={"figure": {"caption": "The best image of each class by the SSIM of $M_I(\\tilde{X})$, the thesis's selection.", "name": "fig-selection-best"}, "image": {"alt": "Five rows of ten digits: targets and three reconstructions, the best of each class, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("best")

# %% mystnb={"figure": {"caption": "One image of each class drawn at random.", "name": "fig-selection-random"}, "image": {"alt": "Five rows of ten digits: targets and three reconstructions, drawn at random, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("random")

# %% mystnb={"figure": {"caption": "The worst image of each class.", "name": "fig-selection-worst"}, "image": {"alt": "Five rows of ten digits: targets and three reconstructions, the worst of each class, then one fixed image for each predicted class."}} tags=["hide-input"]
pictures("worst")

# %% tags=["remove-input"]
by_label = changes.query("metric == 'ssim'").set_index("label")
single = ~by_label.index.str.startswith("protocol")
largest = by_label.loc[single, "mean"].abs().idxmax()
share(largest=largest.replace(" | ", ", "), largest_by=told(by_label.loc[largest]))
share(weights=told(by_label.loc["activation_weights=shadow | M_I(A_L)"]))
share(hidden=told(by_label.loc["inverse_hidden=relu | M_I(O)"]))
share(rounding=told(by_label.loc["round_training=True | M_I(O)/rounded"]), note=results.note("comparison"))
share(pictured=shown.note("table4"), attacked=scores["image"].nunique())
share(best=mean_of["best"], drawn=mean_of["random"], worst=mean_of["worst"])
share(everything=scores.query("row == 'M_I(X~)'")["ssim"].mean())

# %% [markdown]
# **Reading.** Of all single choices the SSIM moves most with {glue:text}`largest`, by {glue:text}`largest_by`. Recovering $A_L$ with the shadow's
# weights, as the gray-box setting requires, changes the SSIM of $M_I(A_L)$ by {glue:text}`weights`; ReLU without dropout that
# of $M_I(O)$ by {glue:text}`hidden`; training on rounded outputs that of its rounded row by {glue:text}`rounding`. The best
# images of each class have a mean SSIM of {glue:text}`best` under $M_I(\tilde{X})$, random ones {glue:text}`drawn`, the worst
# {glue:text}`worst`, all {glue:text}`attacked` attacked images {glue:text}`everything`: a figure of best images shows what an
# attack can do once, not what it does. Scale of the changes: {glue:text}`note`; of the pictures, which are of the first replicate: {glue:text}`pictured`.
