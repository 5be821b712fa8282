"""Stages of the data and the classifiers, up to what these answer."""

from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from mi_core.data import CLASSES, SIDE, Split, Splits, draw_splits, resize_images
from mi_core.defenses import label_only, round_outputs, truncate_outputs
from mi_core.metrics import confusion, weighted_f1
from mi_core.models import Classifier, EvaluationModel, InverseModel
from mi_core.randomness import generator, seeded
from mi_core.study.graph import Context
from mi_core.study.locations import data_folder
from mi_core.study.source import load_raw
from mi_core.study.stages.common import (
    Inputs,
    Parameters,
    TimedCheckpoint,
    load_classifier,
    load_split,
    state_arrays,
)
from mi_core.study.store import Value
from mi_core.training import fit, fit_classifier, mean_batch_loss, predict

__all__ = [
    "architecture",
    "auxiliary",
    "class_counts",
    "classifier",
    "classifier_scores",
    "confusion_counts",
    "curves",
    "defended",
    "evaluation_model",
    "outputs",
    "splits",
]


def splits(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The five sets: 8-bit images, labels and positions in the raw files."""
    training, test = load_raw(data_folder())
    drawn = draw_splits(training, test, generator=generator(*parameters["stream"], "split"))
    value = {}
    for name in Splits.names():
        split: Split = getattr(drawn, name)
        value[f"{name}.images"] = (split.images * 255).round().to(torch.uint8).numpy()
        value[f"{name}.labels"] = split.labels.numpy()
        value[f"{name}.indices"] = split.indices.numpy()
    return value


def auxiliary(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The attacker's own sets, D_S^T and D_S^V: all that the stages of an attack get to see."""
    return {name: value for name, value in inputs["splits"].items() if name.startswith("shadow_")}


def class_counts(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """How many images of each class each set holds (Fig 3)."""
    rows = []
    for name in Splits.names():
        counts = np.bincount(inputs["splits"][f"{name}.labels"], minlength=CLASSES)
        rows += [{"split": name, "label": label, "images": int(count)} for label, count in enumerate(counts)]
    return pd.DataFrame(rows)


def classifier(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Train a classifier; its weights, its losses, and what it says of its validation set."""
    training = load_split(inputs, parameters["training"], parameters["images"])
    validation = load_split(inputs, parameters["validation"], parameters["validation_images"])
    stream = (*parameters["stream"], "classifier", parameters["training"], parameters["name"])
    validation_images = validation.images.to(context.device)
    validation_labels = validation.labels.to(context.device)
    model, history = fit_classifier(
        training.images.to(context.device, memory_format=torch.channels_last),
        training.labels.to(context.device),
        epochs=parameters["epochs"],
        stream=stream,
        activation=parameters["activation"],
        dropout=parameters["dropout"],
        validation=(validation_images, validation_labels),
        precision=context.precision,
        checkpoint=TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.95 / parameters["epochs"]),
    )
    answers = predict(model, validation_images)  # in float32 whatever the precision of the training
    return state_arrays(model) | {
        "training_loss": np.array(history.training),
        "validation_loss": np.array(history.validation),
        "final_validation_loss": np.array([mean_batch_loss(answers, validation_labels, loss=F.cross_entropy)]),
        "labels": validation.labels.numpy(),
        "predictions": answers.argmax(1).numpy(force=True),
    }


def evaluation_model(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The judge of reconstructions, trained in float32 on training images that no split of this replicate holds."""
    (images, labels), _ = load_raw(data_folder())
    taken = [inputs["splits"][f"{name}.indices"] for name in ("target_train", "shadow_train")]
    free = torch.from_numpy(np.setdiff1d(np.arange(len(labels)), np.concatenate(taken)))
    stream = (*parameters["stream"], "evaluation model")
    drawn = free[torch.randperm(len(free), generator=generator(*stream, "images"))][: parameters["images"]].numpy()
    with seeded(*stream, "initial weights"):
        model = EvaluationModel()
    model.to(context.device)
    history = fit(
        model,
        torch.from_numpy(resize_images(images[drawn]).copy()).unsqueeze(1).to(context.device) / 255,
        torch.from_numpy(labels[drawn]).long().to(context.device),
        loss=F.cross_entropy,
        epochs=parameters["epochs"],
        stream=stream,
        checkpoint=TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.95 / parameters["epochs"]),
    )
    return state_arrays(model) | {"indices": drawn, "training_loss": np.array(history.training)}


def classifier_scores(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """F1, training loss and validation loss of each classifier (Tables 1 and 2)."""
    rows = []
    for name, (training, validation) in parameters["splits"].items():
        value = inputs[name]
        f1 = weighted_f1(torch.from_numpy(value["labels"]), torch.from_numpy(value["predictions"]))
        rows += [
            {"row": name, "split": validation, "metric": "f1", "value": f1},
            {"row": name, "split": training, "metric": "cross_entropy", "value": float(value["training_loss"][-1])},
            {
                "row": name,
                "split": validation,
                "metric": "cross_entropy",
                "value": float(value["final_validation_loss"][0]),
            },
        ]
    return pd.DataFrame(rows)


def confusion_counts(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Confusion matrices of the named classifiers on their validation sets (Fig 7)."""
    frames = []
    for name, value in inputs.items():
        counts = confusion(torch.from_numpy(value["labels"]), torch.from_numpy(value["predictions"]))
        true, predicted = np.meshgrid(range(CLASSES), range(CLASSES), indexing="ij")
        columns = {"row": name, "true": true.ravel(), "predicted": predicted.ravel(), "images": counts.ravel()}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def curves(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Training and validation loss of each model after each epoch."""
    rows = []
    for name, value in inputs.items():
        for kind in ("training", "validation"):
            losses = value[f"{kind}_loss"]
            rows += [{"row": name, "kind": kind, "epoch": epoch + 1, "loss": x} for epoch, x in enumerate(losses)]
    return pd.DataFrame(rows)


def architecture(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Layers of the classifier and the inverse model as a forward pass meets them (Figs 1, 2, 25, 26)."""
    count = parameters["inverse_inputs"]
    models = {
        "classifier": (Classifier(), torch.zeros(1, 1, SIDE, SIDE)),
        "inverse model": (InverseModel(count, hidden=parameters["hidden"]), torch.zeros(1, count)),
    }
    rows: list[dict[str, Any]] = []
    for name, (model, example) in models.items():

        def record(layer: torch.nn.Module, arguments: Any, answer: Tensor, name: str = name) -> None:
            rows.append(
                {
                    "model": name,
                    "layer": type(layer).__name__,
                    "detail": layer.extra_repr(),
                    "shape": "x".join(map(str, answer.shape[1:])),
                    "parameters": sum(parameter.numel() for parameter in layer.parameters()),
                }
            )

        hooks = [
            layer.register_forward_hook(record)
            for layer in model.modules()
            if not any(layer.children()) and not isinstance(layer, torch.nn.Identity)
        ]
        try:
            predict(model, example)
        finally:
            for hook in hooks:
                hook.remove()
    return pd.DataFrame(rows)


def outputs(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """What a classifier answers for the first images of a split, in float32 whatever the precision."""
    model = load_classifier(inputs["classifier"], context)
    images = load_split(inputs, parameters["split"], parameters["images"]).images
    answers = predict(model, images.to(context.device), batch_size=64 if context.device.type == "cpu" else 1024)
    answers = answers.softmax(1) if parameters["form"] == "probabilities" else answers
    return {"outputs": answers.numpy(force=True)}


def defended(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Outputs after the defence: rounded, truncated to the k largest, or the label alone."""
    exact = torch.from_numpy(inputs["outputs"]["outputs"])
    if parameters["defence"] == "label":
        return {"outputs": label_only(exact).numpy()}
    if parameters["defence"] == "round":
        return {"outputs": round_outputs(exact, parameters["decimals"]).numpy()}
    return {"outputs": truncate_outputs(exact, parameters["k"], fill=parameters["fill"]).numpy()}
