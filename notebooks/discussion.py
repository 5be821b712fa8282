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
# **Question.** What do the thesis's conclusions become in the light of these measurements?

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report.notebook import open_chapter, share, show_claims
from mi_core.study.experiments import COMBINATIONS
from mi_core.study.overview import differences, highest_mean, replicate_points, rows_on_test
from mi_core.study.verdicts import EXPERIMENTS, in_words, verdicts

results = open_chapter(globals(), *EXPERIMENTS)
everything = verdicts(results)
rows = rows_on_test(results)
points = replicate_points(rows)

# %% tags=["remove-input"]
own = {row.removesuffix("/shadow-weights"): row for row in points["row"]}  # the twin without the target's weights comes last
seven = [own[f"M_I({part})"] for part in COMBINATIONS]
alike, telling = (highest_mean(points, seven, metric) for metric in ("ssim", "auc"))
share(alike=alike.first, alike_next=alike.second, alike_in=alike.agreeing, replicates=alike.count)
share(telling=telling.first, telling_next=telling.second, telling_in=telling.agreeing)
lines, metrics = rows.assign(line=rows["row"]), ("ssim", "auc")
changes = differences(lines, [(f"M_I(X~)/{name}", "M_I(X~)") for name in ("rounded", "k=1")], metrics=metrics)
words = [f"{'raises' if line.mean > 0 else 'lowers'} it in {line.agreeing} of {line.count}" for line in changes.itertuples()]
share(**{f"moved{place}": f"{mean:+z.4f}" for place, mean in enumerate(changes["mean"])}, ssim_moves=words[2], auc_moves=words[3])

# %% tags=["remove-input"]
means = points.groupby("row").mean(numeric_only=True)
ssim, auc, shuffled = means["ssim"], means["auc"], means["shuffled_ssim"]
guess, start, label = "baseline: SSIM-optimal class image", "baseline: class average", "baseline: M_I(label)"
surely = differences(lines, [(row, start) for row in seven], metrics=["auc"]).query("mean > 0 and agreeing == count")
many = {0: "none", len(seven): "all"}
share(over_label=many.get(count := int((ssim[seven] > ssim[guess]).sum()), count), verdicts=in_words(everything))
share(over_guess=many.get(len(surely), len(surely)))

# %% tags=["remove-input"]
share(x=ssim["M_I(X~)"], o=ssim["M_I(O)"], stand=ssim["X~/class_average"], start=ssim[start], guess=ssim[guess])
share(x_features=means.auc_features["M_I(X~)"], stand_features=means.auc_features["X~/class_average"])
share(x_auc=auc["M_I(X~)"], o_auc=auc["M_I(O)"], stand_auc=auc["X~/class_average"], start_auc=auc[start])
share(label=ssim[label], label_auc=auc[label], own=ssim["ceiling: M_I(O)/own-outputs"], both=auc["M_I(O+X~)"])
share(own_auc=auc["ceiling: M_I(O)/own-outputs"], x_shuffled=shuffled["M_I(X~)"])
share(target_weights=ssim["M_I(A_L)"], note=results.note("table4"), ox=ssim["M_I(O+X~)"])
share(n=f"{alike.count} replicate" + "s" * (alike.count > 1))
share(shadow_weights=ssim.get("M_I(A_L)/shadow-weights", ssim["M_I(A_L)"]))

# %% tags=["remove-input"]
for part, name in (("O", "o"), ("X~", "x")):
    first, last = f"M_I({part})", f"M_I({part})/k=1"
    share(**{f"{name}1": ssim[last], f"{name}1_auc": auc[last], f"{name}_rounded": ssim[f"{first}/rounded"]})
f1 = results.table(2).query("metric == 'f1'").set_index("row")["mean"]
heads = results.table(1).query("metric == 'f1'").set_index("row")["mean"]
share(f1_target=f1["M_T"], f1_shadow=f1["M_S"], head_f1=heads.max(), own_head=heads["None/dropout"], note2=results.note("table2"))
of_heads = results.replicate_means(1).query("metric == 'f1'")
best_head = highest_mean(of_heads, list(heads.index), "value")
share(head=best_head.first, head_in=best_head.agreeing, heads_of=best_head.count, head_epochs=results.sizes("table1").head_epochs)

# %% [markdown]
# **RQ1, the inputs.** Of the seven inputs, on a gray-box attacker's terms, {glue:text}`alike` has the highest mean SSIM, above the next, {glue:text}`alike_next`, in
# {glue:text}`alike_in` of {glue:text}`replicates` replicates, and {glue:text}`telling` the highest mean AUC, above {glue:text}`telling_next` in {glue:text}`telling_in`; {glue:text}`over_label` of the seven exceed
# the label alone in mean SSIM, and {glue:text}`over_guess` exceed the class average, a guess, in AUC in every replicate.
#
# **RQ2, the defences.** For $M_I(\tilde{X})$ rounding to one decimal moves the mean SSIM by {glue:text}`moved0` and the mean AUC by {glue:text}`moved1`. One visible output
# in place of ten moves SSIM by {glue:text}`moved2` ({glue:text}`ssim_moves` replicates) and AUC by {glue:text}`moved3` ({glue:text}`auc_moves`).
#
# **What neither can say.** How much the outputs hold: these are some attacks, and {doc}`ladder` has others with the same access. {glue:text}`verdicts`.
#
# Now claim by claim: what the thesis concludes from its numbers, and what stands beside it here. The verdict on each claim by fixed rules is
# in {doc}`verdicts`; this is the reading.

# %% tags=["hide-input"]
show_claims(everything)

# %% [markdown]
# Every value below is a mean over {glue:text}`n`. Scale, where nothing else is said: {glue:text}`note`.
#
# **C1 to C3: the inverse model on gradient reconstructions is the best, and far better than its parts.** Here $M_I(\tilde{X})$ has SSIM
# {glue:text}`x`, stand-alone $\tilde{X}$ {glue:text}`stand`, $M_I(O)$ {glue:text}`o` and $M_I(O, \tilde{X})$ {glue:text}`ox`. But the class average that $\tilde{X}$ starts
# from, before any step of the attack, already has {glue:text}`start`, and the label alone, one fixed image for each predicted class, {glue:text}`guess`. A
# gain of $M_I(\tilde{X})$ over $\tilde{X}$ is by itself no evidence that more of the image has leaked: it can come from learning what pictures of a class
# look like to SSIM. Given another image's output of the same class it still scores {glue:text}`x_shuffled`. What tells images
# of a class apart shows in the AUC, with one half for a guess: by squared error {glue:text}`x_auc` for $M_I(\tilde{X})$, {glue:text}`o_auc` for $M_I(O)$, {glue:text}`both` for both inputs together, {glue:text}`stand_auc` for
# stand-alone $\tilde{X}$, {glue:text}`start_auc` for the class average on the same images. Another distance may order them otherwise: by the evaluation model's features $M_I(\tilde{X})$ has
# {glue:text}`x_features` and stand-alone $\tilde{X}$ {glue:text}`stand_features`.
#
# **C4: more inputs do not help.** The notebook recovers the $A_L$ of $D_F$ with the target's weights, the text with the shadow's, on whose
# activations the model was trained. Under this chapter's protocol $M_I(A_L)$ has SSIM {glue:text}`target_weights`; with the shadow's weights,
# which are all that the attacker has, {glue:text}`shadow_weights`. So far as these differ, what looks like a poor input may be a
# mismatch of bases.
#
# **C5: the class average is the best start.** A start can be the best because it is the best guess: compare the SSIM after the
# optimisation, {glue:text}`stand`, with that before it, {glue:text}`start`. {doc}`gradient_reconstructions` has both at the largest scale there is.
#
# **C6: the shadow mimics the target.** In F1 they are {glue:text}`f1_shadow` and {glue:text}`f1_target`, each on its own validation set ({glue:text}`note2`). What matters to the attack is whether their
# logits agree: on its own shadow's outputs $M_I(O)$ reaches SSIM {glue:text}`own` and AUC {glue:text}`own_auc`, on the target's {glue:text}`o` and
# {glue:text}`o_auc`. What lies between is lost in the transfer; equal accuracy does not mean equal logits.
#
# **C7: rounding to one decimal has minimal impact.** What one decimal removes depends on how far the outputs spread. On rounded outputs $M_I(O)$
# has {glue:text}`o_rounded`, exact {glue:text}`o`; $M_I(\tilde{X})$ {glue:text}`x_rounded` and {glue:text}`x`. Logits spread far wider than probabilities, so the one says little
# about rounding the other.
#
# **C8 and C9: truncation raises SSIM and loses the instance.** At one visible output $M_I(O)$ has {glue:text}`o1` and $M_I(\tilde{X})$ {glue:text}`x1`; $M_I$(label) ({doc}`../pages/notation`)
# has {glue:text}`label`. The AUC says what is left of the instance: {glue:text}`o1_auc` and {glue:text}`x1_auc` ($M_I$(label): {glue:text}`label_auc`). A
# score that rises while less is visible cannot by itself measure what has leaked. {doc}`rq2_adaptive` measures what truncation, rounding
# and written probabilities take from an attacker who reads the outputs well and knows of the defence.
#
# **C10: no activation and dropout is the best head.** The best F1 here has {glue:text}`head`, {glue:text}`head_f1`; the thesis's choice has
# {glue:text}`own_head`, after {glue:text}`head_epochs` epochs each; the best is above the next in {glue:text}`head_in` of {glue:text}`heads_of` replicates.
#
# ## What these numbers cannot say
#
# - **One pair of classifiers.** The thesis's spreads come from five trainings of each inverse model on one split and one pair of
#   classifiers. Replicates of this report redraw everything; {ref}`numbers` shows what that changes.
# - **Text and code.** Where the two differ, this report follows the code by default. Some of its choices give the attacker what
#   the gray-box setting forbids ({doc}`../pages/threat_model`); {doc}`text_and_code` measures them.
# - **These attacks.** However little they show beyond the label, that is no bound on what the outputs hold:
#   compare the reference under C6, $M_I(O)$ on its own shadow's outputs, and {doc}`ladder` for attackers who use the same access better.
# - **MNIST.** Replicates are fresh draws from the same 70,000 images; nothing here speaks about other data.
#
# ## What the thesis leaves for later
#
# More complex data, the shadow's last feature map as input, noise on the outputs or a student model as defence, deeper
# architectures, and attacker data from another distribution.
#
# The thesis asked a good question with care enough that all of it can be run again; this reading takes nothing from that. If you
# know of an error in it, its author's correction above all, it will be put right.
