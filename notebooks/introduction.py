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
# (front)=
# # What do a classifier's outputs give away?
#
# **Asked.** A classifier answers with ten numbers. How much of the image can an attacker draw from them who knows its architecture, not its
# weights? All of {cite}`thielen2024` (MNIST) can be run again here{glue:text}`reduced`.

# %% tags=["parameters", "remove-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["remove-input"]
from mi_core.report.figures import select_images, strip
from mi_core.report.notebook import open_chapter, scale_note, share
from mi_core.study.overview import differences, rows_on_test
from mi_core.study.rungs import pool_rows, rows_of
from mi_core.study.verdicts import EXPERIMENTS, in_words, verdicts

results = open_chapter(globals(), *EXPERIMENTS, "gallery")

# %% mystnb={"figure": {"caption": "One image per class, drawn at random; what the thesis's best attack makes of its outputs; one fixed picture for each predicted class.", "name": "fig-overview"}, "image": {"alt": "Three rows of ten digits: the true images, their reconstructions by the inverse model on gradient reconstructions, and one fixed picture for each predicted class."}} tags=["remove-input"]
scores = results.frame("table4").query("replicate == 0")
gallery = results.frame("gallery").query("replicate == 0")
attack, guess = "M_I(X~)", "baseline: SSIM-optimal class image"
shown = {"target": "what went in", attack: r"attack: $M_I(\tilde{X})$", guess: "label alone"}
strip(gallery, shown, select_images(scores, attack, how="random"))

# %% tags=["remove-input"]
average, hidden, rounded = "baseline: class average", f"{attack}/k=1", f"{attack}/rounded"
lines = rows_on_test(results).rename(columns={"row": "line"})
found = differences(lines, [(attack, guess), (attack, average), (hidden, attack), (rounded, attack)])
found = found.set_index(["label", "reference", "metric"])
ours = {name: found.loc[pair] for name, pair in {
    "label": (attack, guess, "ssim"), "beyond": (attack, average, "auc"),
    "one": (hidden, attack, "ssim"), "round": (rounded, attack, "ssim"),
}.items()}
share(**{name: f"{line['mean']:+z.4f} [{line['low']:+z.4f}, {line['high']:+z.4f}]" for name, line in ours.items()})

# %% tags=["remove-input"]
def printed(table, row):
    lines = results.table(table).query("row == @row and metric == 'ssim' and split == 'test'")
    return lines.iloc[0]


best, k1, k10 = printed(4, attack), printed(6, hidden), printed(6, f"{attack}/k=10")
coarse, exact = printed(5, rounded), printed(5, f"{attack}/exact")
share(best=best["mean"], best_printed=best.published_mean, guess=printed(4, guess)["mean"])
share(label_model=printed(4, "baseline: M_I(label)")["mean"], auc=lines.query("line == @attack")["auc"].mean())
share(one_printed=f"{k1.published_mean - k10.published_mean:+.4f}", profile=results.profile("table4"))
share(round_printed=f"{coarse.published_mean - exact.published_mean:+.4f}", n=f"{best.n:.0f} replicate" + "s" * int(best.n > 1))
share(interval="over the images of one replicate" if best.n == 1 else "over replicates")

# %% [markdown]
# **Found.** The thesis's best attack has SSIM {glue:text}`best` here ({glue:text}`best_printed` there), {glue:text}`side` a fixed picture of the predicted class
# (*label alone*, {glue:text}`guess`); an inverse model that is fed the label has {glue:text}`label_model`. The AUC
# asks whether the attack shows more than the class (one half: no): {glue:text}`auc`. {glue:text}`aligned` ({doc}`ladder <ladder>`).
#
# | On the test set $D_F$ | thesis | here [interval {glue:text}`interval`] |
# |---|---|---|
# | SSIM: attack less label alone | — | {glue:text}`label` |
# | AUC of re-identification: attack less class average, which guesses | — | {glue:text}`beyond` |
# | SSIM: largest output only, less all ten | {glue:text}`one_printed` | {glue:text}`one` |
# | SSIM: rounded to one decimal, less exact | {glue:text}`round_printed` | {glue:text}`round` |

# %% tags=["remove-input"]
label = ours["label"]
share(side="above" if label["low"] > 0 else "below" if label["high"] < 0 else "not told apart from")
at_scale = all(results.at_paper_scale(f"table{number}") for number in range(1, 7))
share(reduced="" if at_scale else "; what is printed is a reduced scale", verdicts=in_words(verdicts(results)))

# %% tags=["remove-input"]
said = "What attackers with the same access reach who align the target's outputs is not computed here"
if results.has("ladder"):
    row = f"{pool_rows(results.sizes('ladder'))[-1]}, chosen inverse model"
    means = rows_of(results).groupby("row")[["ssim", "auc"]].mean()
    told = [f"{means.ssim[name]:.4f} and {means.auc[name]:.4f}" for name in ("one shadow", row, "label alone")]
    scale = results.note("ladder").partition(";")[0].partition(":")[0]
    said = f"Of {'this' if results.profile('ladder') == results.profile('table4') else 'another'} target ({scale}) "
    said += f"one shadow has SSIM and AUC {told[0]}; several, aligned, {told[1]}; the label alone {told[2]}"
share(aligned=said)

# %% [markdown]
# ```{admonition} How far to trust it
# :class: important
# Profile **{glue:text}`profile`**, {glue:text}`n`. {glue:text}`verdicts` ({doc}`verdicts`).
# ```
#
# **Next.** {doc}`Pick an image and attack it yourself <explore>` · {doc}`what it comes to <discussion>` · {doc}`run a chapter with other parameters <../pages/reexecute>`

# %% [markdown]
# ## What the thesis does
#
# It trains a **shadow** of the target on images of its own, inverts outputs by gradient descent through the shadow ($\tilde{X}$), recovers
# the activations before its last layer ($A_L$), and trains a transposed CNN, the inverse model, to turn combinations of the output
# vector $O$, $A_L$ and $\tilde{X}$ back into images. It asks two things:
#
# - **RQ1**: which inputs of the inverse model give the best reconstructions? ({doc}`rq1_inputs`)
# - **RQ2**: what do rounding and truncating the outputs protect? ({doc}`rq2_rounding`, {doc}`rq2_truncation`)
#
# It finds that the gradient reconstruction is the best input, that rounding to one decimal has minimal impact, and that truncation *raises* SSIM
# while reconstructions drift towards the average of their class. Its best attack is the inverse model on the gradient reconstruction, $M_I(\tilde{X})$. The picture of the label alone uses the predicted class and nothing else;
# $M_I$(label) is an inverse model fed with that class alone ({doc}`../pages/notation`). Scores here always stand beside such baselines. A score below such a baseline is
# no evidence of leakage, and none against it: re-identification and the shuffled control ask that directly ({doc}`leakage`).
#
# ## The chapters
#
# - {doc}`explore` shows images, outputs and attacks to choose from; {doc}`workflow` the attack as two diagrams; {doc}`../pages/threat_model` who knows what.
# - {doc}`data_and_splits`, {doc}`classifiers`, {doc}`gradient_reconstructions`, {doc}`rq1_inputs`, {doc}`rq2_rounding` and
#   {doc}`rq2_truncation` are the study.
# - {doc}`leakage` asks what the reconstructions show beyond the class, {doc}`ladder` what attackers with more, or with more skill, reach, {doc}`text_and_code` what the thesis's two versions of the protocol
#   do to the numbers; {doc}`verdicts` judges every claim and number by fixed rules, and {doc}`discussion` says what it comes to.
# - {doc}`../pages/deviations` lists where the thesis's text and its code differ, and where this report departs from either.
# - {doc}`../pages/reexecute` tells how to run any chapter with other parameters, {doc}`cost` what that takes.
#
# Every table says at which scale it stands:

# %% tags=["remove-input"]
scale_note(results, 1, 2, 3, 4, 5, 6)
