"""Stages of the attacks: attack inputs, inverse models, and reconstructions that need no attack."""

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mi_core.attacks.activations import logits_from_probabilities, recover_activations
from mi_core.attacks.baselines import (
    black_images,
    class_average_images,
    global_average_images,
    nearest_auxiliary_images,
    nearest_output_averages,
    random_class_images,
    ssim_optimal_images,
)
from mi_core.attacks.gradient import draw_regularisers, reconstruct_images, start_images
from mi_core.attacks.inverse import assemble_inputs, fit_inverse_model
from mi_core.data import CLASSES
from mi_core.models import InverseModel, frozen_for_inference
from mi_core.randomness import generator
from mi_core.study.graph import Context
from mi_core.study.recipes import recipe_of
from mi_core.study.stages.common import (
    SAVE_SECONDS,
    Inputs,
    Parameters,
    TimedCheckpoint,
    load_classifier,
    load_split,
    load_state,
    score_pairs,
    state_arrays,
)
from mi_core.study.store import Value
from mi_core.training import predict

__all__ = [
    "activations",
    "baseline",
    "inverse_model",
    "inverse_reconstructions",
    "optimal_images",
    "reconstructions",
    "search",
    "search_trial",
]

IMAGES_AT_ONCE = {"cpu": 32, "cuda": 1024}  # of X~, multiples of 32: faster in small bites on a CPU, in no key


def reconstructions(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """X~: images whose output through the shadow is near the given one."""
    given = torch.from_numpy(inputs["outputs"]["outputs"])
    auxiliary = load_split(inputs, "shadow_train")
    draws = generator(*parameters.get("stream", ()), "start images", parameters["start"], parameters["split"])
    weights = _regularisers(parameters, inputs)
    if _depends_on_label_only(parameters):
        labels = given.argmax(1)
        begin = start_images(parameters["start"], torch.eye(CLASSES), auxiliary, generator=draws)
        images = _reconstruct(parameters, inputs, context, torch.eye(CLASSES), begin, weights)[labels.numpy()]
    else:
        begin = start_images(parameters["start"], given, auxiliary, generator=draws)
        images = _reconstruct(parameters, inputs, context, given, begin, weights)
    return {"images": images}


def _depends_on_label_only(parameters: Parameters) -> bool:
    """Where the objective sees the label alone and images do not share it, X~ is one image per class."""
    return (
        parameters["data_term"] == "cross_entropy"
        and parameters["regulariser_scope"] == "image"
        and parameters["start"] != "random"
    )


def _regularisers(parameters: Parameters, inputs: Inputs) -> tuple[float, float]:
    if "regularisers" in parameters:
        return tuple(parameters["regularisers"])
    best = inputs["search"].sort_values("ssim").iloc[-1]
    return float(best["lambda_l2"]), float(best["lambda_tv"])


def _reconstruct(
    parameters: Parameters,
    inputs: Inputs,
    context: Context,
    given: Tensor,
    begin: Tensor,
    weights: tuple[float, float],
) -> np.ndarray:
    """Batch after batch, kept in pieces; a run with another batch size goes on where this one was killed."""
    shadow = frozen_for_inference(load_classifier(inputs["shadow"], context), dtype=context.precision)
    done: list[np.ndarray] = []
    kept = 0
    while (piece := context.pieces.load(f"from-{kept:06d}")) is not None:
        done.append(piece["images"])
        kept += len(piece["images"])
        context.advance(0.99 * len(piece["images"]) / len(given))
    unsaved: list[np.ndarray] = []
    last_save = time.monotonic()
    at_once = IMAGES_AT_ONCE[context.device.type]
    for first in range(kept, len(given), at_once):
        batch = slice(first, min(first + at_once, len(given)))
        share = 0.99 * (batch.stop - batch.start) / len(given) / parameters["steps"]
        images = reconstruct_images(
            shadow,
            given[batch].to(context.device),
            begin[batch].to(context.device),
            l2_weight=weights[0],
            tv_weight=weights[1],
            steps=parameters["steps"],
            data_term=parameters["data_term"],
            update=parameters["update"],
            learning_rate=parameters["learning_rate"],
            clip_norm=parameters["clip_norm"] or None,
            group_size=32 if parameters["regulariser_scope"] == "batch_of_32" else 1,
            probabilities=parameters["form"] == "probabilities",
            on_step=lambda share=share: context.advance(share),
        )
        unsaved.append(images.numpy(force=True))
        if time.monotonic() - last_save >= SAVE_SECONDS and batch.stop < len(given):
            context.pieces.save(f"from-{kept:06d}", {"images": np.concatenate(unsaved)})
            done.append(np.concatenate(unsaved))
            kept, unsaved, last_save = batch.stop, [], time.monotonic()
    return np.concatenate([*done, *unsaved])


def search_trial(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """One draw of (lambda_L2, lambda_TV): how well X~ from the class average gives the attacker's own images back."""
    draws = generator(*parameters["stream"], "search", parameters["phase"], parameters["number"])
    coarse = [inputs[name] for name in inputs if name.startswith("coarse")]
    best = max(coarse, key=lambda trial: trial["ssim"].mean())["weights"] if coarse else None
    weights = draw_regularisers(draws, best=None if best is None else tuple(best.tolist()))
    auxiliary = load_split(inputs, "shadow_train")
    given = torch.from_numpy(inputs["outputs"]["outputs"])[: parameters["images"]]
    begin = start_images("class_average", given, auxiliary, generator=draws)
    images = torch.from_numpy(_reconstruct(parameters, inputs, context, given, begin, weights))
    return {"weights": np.array(weights)} | score_pairs(auxiliary.images[: len(images)], images)


def search(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """All draws of the search, coarse ones first (Fig 8)."""
    rows = []
    for name, trial in inputs.items():
        l2_weight, tv_weight = trial["weights"].tolist()
        rows.append(
            {
                "phase": name.split()[0],
                "lambda_l2": l2_weight,
                "lambda_tv": tv_weight,
                "ssim": float(trial["ssim"].mean()),
                "mse": float(trial["mse"].mean()),
            }
        )
    return pd.DataFrame(rows)


def activations(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """A_L: what went into the last linear layer, recovered with the given model's weights."""
    given = torch.from_numpy(inputs["outputs"]["outputs"])
    if parameters["form"] == "probabilities":
        given = logits_from_probabilities(given)
    weights = inputs["classifier"]
    recovered = recover_activations(
        given.to(context.device),
        torch.from_numpy(weights["model.last.weight"]).to(context.device),
        torch.from_numpy(weights["model.last.bias"]).to(context.device),
        generator=generator(*parameters["stream"], "start activations", parameters["split"]),
        update=parameters["update"],
    )
    return {"activations": recovered.numpy(force=True)}


def _assembled(parameters: Parameters, inputs: Inputs, prefix: str = "") -> Tensor:
    names = {"O": "outputs", "A_L": "activations", "X~": "images"}
    available = {
        part: torch.from_numpy(inputs[prefix + part][name]) for part, name in names.items() if prefix + part in inputs
    }
    return assemble_inputs(parameters["combination"], available)


def inverse_model(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Train M_I on D_S^T through the shadow; its weights and losses."""
    attack_inputs = _assembled(parameters, inputs).to(context.device)
    images = load_split(inputs, "shadow_train", len(attack_inputs)).images.to(context.device)
    validation = None
    if any(name.startswith("validation ") for name in inputs):
        validation_inputs = _assembled(parameters, inputs, "validation ").to(context.device)
        validation_images = load_split(inputs, "shadow_validation", len(validation_inputs)).images
        validation = (validation_inputs, validation_images.to(context.device))
    model, history = fit_inverse_model(
        attack_inputs,
        images,
        epochs=parameters["epochs"],
        stream=(*parameters["stream"], "inverse model", parameters["inverse_seed"]),
        hidden=parameters["hidden"],
        validation=validation,
        precision=context.precision,
        checkpoint=TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.99 / parameters["epochs"]),
    )
    return state_arrays(model) | {
        "training_loss": np.array(history.training),
        "validation_loss": np.array(history.validation, dtype=np.float64),
    }


def inverse_reconstructions(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """What M_I makes of the attack inputs."""
    attack_inputs = _assembled(parameters, inputs).to(context.device)
    recipe = recipe_of(parameters, inputs.get("choice"))
    model = InverseModel(attack_inputs.shape[1], hidden=recipe.hidden, width=recipe.width)
    load_state(model, inputs["inverse_model"], context)
    return {"images": predict(model, attack_inputs).numpy(force=True)}


def optimal_images(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The best single image of each class by SSIM, from the attacker's data."""
    draws = generator(*parameters["stream"], "SSIM-optimal images")
    return {"images": ssim_optimal_images(load_split(inputs, "shadow_train"), generator=draws).numpy()}


def baseline(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Reconstructions that need no attack; the ceiling among them sees the true images."""
    given = torch.from_numpy(inputs["outputs"]["outputs"])
    auxiliary = load_split(inputs, "shadow_train")
    draws = generator(*parameters.get("stream", ()), "baseline", parameters["baseline"])

    def optimal() -> Tensor:
        return torch.from_numpy(inputs["optimal images"]["images"])[given.argmax(1)]

    def nearest_outputs() -> Tensor:
        known = torch.from_numpy(inputs["auxiliary outputs"]["outputs"])
        return nearest_output_averages(given, auxiliary.first(len(known)), known, k=parameters["k"])

    def nearest_images() -> Tensor:
        return nearest_auxiliary_images(load_split(inputs, parameters["split"], len(given)).images, auxiliary)

    makers = {
        "black image": lambda: black_images(given, auxiliary),
        "global average": lambda: global_average_images(given, auxiliary),
        "class average": lambda: class_average_images(given, auxiliary),
        "SSIM-optimal class image": optimal,
        "random class image": lambda: random_class_images(given, auxiliary, generator=draws),
        "average of nearest outputs": nearest_outputs,
        "nearest auxiliary image": nearest_images,
    }
    return {"images": makers[parameters["baseline"]]().numpy()}
