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
# # The attack at a glance
#
# The thesis draws its method as two workflows (its Figs 5 and 6). What belongs to the attacker and what to the target
# matters most in them: {doc}`../pages/threat_model` spells it out.

# %% tags=["parameters", "hide-input"]
profile = "published"  # or smoke, quick, standard, paper: computed
seed = 0  # of every random draw
protocol = "code"  # or "text": the thesis's notebook, or its text
device = "auto"  # or "cpu", "cuda"

# %% tags=["hide-input"]
from mi_core.report.diagrams import workflow
from mi_core.report.notebook import open_chapter

results = open_chapter(globals())

# %% [markdown]
# ## Training
#
# Everything here is the attacker's own. He trains the shadow on $D_S^T$, asks it for outputs on the same images, and
# prepares from each output vector the gradient reconstruction $\tilde{X}$ ({doc}`gradient_reconstructions`) and the
# activations $A_L$. The inverse model learns to give his images back.

# %% mystnb={"figure": {"caption": "Training workflow (thesis Fig 5).", "name": "fig-training-workflow"}, "image": {"alt": "Diagram: shadow training images go through the shadow to output vectors; from these come gradient reconstructions and activations; a combination of the three feeds the inverse model, whose reconstruction is compared with the image by SSIM."}} tags=["hide-input"]
workflow("training")

# %% [markdown]
# ## Testing
#
# The target answers for images of $D_F$ that the attacker has never seen, perhaps behind a defence. He prepares the same
# inputs from those answers, still through his shadow, and applies the trained inverse model. Only the scoring sees
# the true images. The diagram is the gray-box attack of the thesis's text; its code takes the last linear layer of the
# *target* for the $A_L$ of $D_F$ ({doc}`../pages/threat_model`).

# %% mystnb={"figure": {"caption": "Testing workflow (thesis Fig 6).", "name": "fig-testing-workflow"}, "image": {"alt": "Diagram: a test image goes through the target and an optional defence to an output vector; the attacker prepares gradient reconstructions and activations through the shadow, and the trained inverse model gives a reconstruction that is scored by SSIM and MSE."}} tags=["hide-input"]
workflow("testing")
