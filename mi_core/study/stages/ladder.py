"""Stages of the ladder of threat models: alignment, pools of shadows, and shadows in the place of the target."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

from mi_core.attacks.activations import logits_from_probabilities
from mi_core.attacks.alignment import align_outputs, pool_outputs
from mi_core.attacks.inverse import fit_inverse_model
from mi_core.metrics import calibration_error
from mi_core.study.graph import Context
from mi_core.study.recipes import best_alignment, recipe_of
from mi_core.study.stages.common import Inputs, Parameters, TimedCheckpoint, load_split, score_pairs, state_arrays
from mi_core.study.store import Value

__all__ = ["aligned", "auxiliary_scores", "held_out_table", "log_probabilities", "pooled_inverse_model", "utility"]


def aligned(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Outputs aligned to a reference's; the method is named, or the one that did best on held-out shadows."""
    method, prior = (
        best_alignment(inputs["choice"]) if "choice" in inputs else (parameters["method"], parameters["prior"])
    )
    seen = None
    if "seen" in inputs:
        seen = torch.from_numpy(inputs["seen"]["outputs"][: parameters.get("seen_outputs")])
    given, reference = (torch.from_numpy(inputs[name]["outputs"]) for name in ("outputs", "reference"))
    found = align_outputs(given, reference, method=method, prior=prior, seen=seen)
    return {"outputs": found.numpy()}


def pooled_inverse_model(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Train M_I on D_S^T with the answers of several classifiers; its weights and losses."""
    parts = [torch.from_numpy(inputs[name]["outputs"]) for name in inputs if name.startswith("part ")]
    images = load_split(inputs, "shadow_train", max(map(len, parts))).images
    outputs, belonging = pool_outputs(parts, images)
    model, history = fit_inverse_model(
        outputs.to(context.device),
        belonging.to(context.device),
        epochs=parameters["epochs"],
        stream=(*parameters["stream"], "ladder"),
        **asdict(recipe_of(parameters, inputs.get("choice"))),
        precision=context.precision,
        checkpoint=TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.99 / parameters["epochs"]),
    )
    return state_arrays(model) | {"training_loss": np.array(history.training)}


def auxiliary_scores(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Mean SSIM and MSE of reconstructions of the attacker's own images, which he can measure himself."""
    reconstructed = torch.from_numpy(inputs["images"]["images"])
    truth = load_split(inputs, parameters["split"], len(reconstructed)).images
    return {name: values.mean(keepdims=True) for name, values in score_pairs(truth, reconstructed).items()}


def held_out_table(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """One line for each attack and held-out shadow, with its labels, SSIM and MSE."""
    rows = []
    for name, label in parameters["rows"].items():
        rows.append(label | {metric: float(values[0]) for metric, values in inputs[name].items()})
    return pd.DataFrame(rows)


def log_probabilities(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Logarithms of probabilities as they were written, centred; zeros count as half of the smallest that is not."""
    written = _written(inputs["outputs"]["outputs"], parameters["number"])
    decimals = parameters["decimals"]
    smallest = (
        {"float32": 2.0**-149, "float16": 2.0**-24}[parameters["number"]] if decimals is None else 10.0**-decimals
    )
    logits = logits_from_probabilities(torch.from_numpy(written).double(), floor=smallest / 2)
    return {"outputs": logits.float().numpy()}


def _written(probabilities: np.ndarray, number: str) -> np.ndarray:
    return probabilities.astype(number).astype(np.float32).clip(0, 1)


def utility(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Accuracy, calibration error and the share of distinct answers that each form of answer leaves."""
    rows = []
    for name, (form, number) in parameters["forms"].items():
        shown = torch.from_numpy(inputs[name]["outputs"])
        shown = torch.from_numpy(_written(shown.numpy(), number)) if form == "probabilities" else shown
        confidence = shown if form == "probabilities" else shown.softmax(1)
        labels = load_split(inputs, parameters["split"], len(shown)).labels
        measured = {
            "accuracy": float((shown.argmax(1) == labels).double().mean()),
            "calibration error": calibration_error(confidence, labels),
            "distinct answers": len(shown.unique(dim=0)) / len(shown),
        }
        rows += [{"row": name, "metric": metric, "value": value} for metric, value in measured.items()]
    return pd.DataFrame(rows)
