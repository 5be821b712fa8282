"""Each cached step of the study, one function a step: (parameters, inputs, context) -> value.

``mi_core.study.experiments`` says which parameters and inputs each task has; a parameter read here and not named there
fails. Imported only when something is computed.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
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
from mi_core.attacks.gradient import (
    class_averages,
    class_instances,
    draw_regularisers,
    reconstruct_images,
    start_images,
)
from mi_core.attacks.inverse import assemble_inputs, fit_inverse_model
from mi_core.data import CLASSES, SIDE, Split, Splits, draw_splits
from mi_core.defenses import label_only, round_outputs, truncate_outputs
from mi_core.errors import UserError
from mi_core.metrics import confusion, mse_per_image, ssim_per_image, weighted_f1
from mi_core.models import Classifier, InverseModel, frozen_for_inference
from mi_core.randomness import generator, seeded
from mi_core.study.graph import Context
from mi_core.study.source import load_raw
from mi_core.study.store import Pieces, Value
from mi_core.training import fit, mean_batch_loss, predict

__all__ = ["choose_device", "choose_precision"]

Parameters = Mapping[str, Any]
Inputs = Mapping[str, Value]

SAVE_SECONDS = float(os.environ.get("MI_CORE_SAVE_SECONDS", 20))  # a kill loses at most about this much
IMAGES_AT_ONCE = {"cpu": 32, "cuda": 4096}  # of X~, multiples of 32: faster in small bites on a CPU, in no key


def choose_device(requested: str) -> torch.device:
    """The device to compute on.

    Raises:
        UserError: "cuda" where there is none.
    """
    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` is 'cuda', but this machine has no GPU that PyTorch can use; use 'auto' or 'cpu'.")
    return torch.device("cuda" if requested != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(requested: str, device: torch.device) -> torch.dtype:
    """bfloat16 for "auto" where the hardware computes with it, else float32."""
    if requested == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, requested)


# --- data ----------------------------------------------------------------------------------------------------------


def splits(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The five sets: 8-bit images, labels and positions in the raw files."""
    from mi_core.study.locations import data_folder

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


def _split(inputs: Inputs, name: str, count: int | None = None) -> Split:
    stored = inputs["splits" if "splits" in inputs else "auxiliary"]
    parts = [torch.from_numpy(stored[f"{name}.{part}"][:count]) for part in ("images", "labels", "indices")]
    return Split(parts[0].float() / 255, parts[1], parts[2])


def class_counts(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """How many images of each class each set holds (Fig 3)."""
    rows = []
    for name in Splits.names():
        counts = np.bincount(inputs["splits"][f"{name}.labels"], minlength=CLASSES)
        rows += [{"split": name, "label": label, "images": int(count)} for label, count in enumerate(counts)]
    return pd.DataFrame(rows)


def starts(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The three places where X~ begins, one image a class (Fig 4)."""
    auxiliary = _split(inputs, "shadow_train")
    noise = start_images("random", torch.eye(CLASSES), auxiliary, generator=generator(*parameters["stream"], "Fig 4"))
    kinds = {
        "random": noise,
        "class_instance": class_instances(auxiliary),
        "class_average": class_averages(auxiliary),
    }
    return _image_frame({kind: (images, range(CLASSES)) for kind, images in kinds.items()})


# --- classifiers ---------------------------------------------------------------------------------------------------


def classifier(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Train a classifier; its weights, its losses, and what it says of its validation set."""
    training = _split(inputs, parameters["training"], parameters["images"])
    validation = _split(inputs, parameters["validation"], parameters["validation_images"])
    stream = (*parameters["stream"], "classifier", parameters["training"], parameters["name"])
    with seeded(*stream, "initial weights"):
        model = Classifier(activation=parameters["activation"], dropout=parameters["dropout"])
    model.to(context.device)
    validation_images = validation.images.to(context.device)
    validation_labels = validation.labels.to(context.device)
    history = fit(
        model,
        training.images.to(context.device, memory_format=torch.channels_last),
        training.labels.to(context.device),
        loss=F.cross_entropy,
        epochs=parameters["epochs"],
        stream=stream,
        validation=(validation_images, validation_labels),
        precision=context.precision,
        checkpoint=_TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.95 / parameters["epochs"]),
    )
    answers = predict(model, validation_images)  # in float32 whatever the precision of the training
    return _state(model) | {
        "training_loss": np.array(history.training),
        "validation_loss": np.array(history.validation),
        "final_validation_loss": np.array([mean_batch_loss(answers, validation_labels, loss=F.cross_entropy)]),
        "labels": validation.labels.numpy(),
        "predictions": answers.argmax(1).numpy(force=True),
    }


def _state(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {f"model.{name}": value.contiguous().numpy(force=True) for name, value in model.state_dict().items()}


def _load_state(model: torch.nn.Module, value: Value, context: Context) -> None:
    state = {name[6:]: torch.from_numpy(array) for name, array in value.items() if name.startswith("model.")}
    model.load_state_dict(state)
    model.to(context.device).eval()


def _classifier(value: Value, context: Context) -> Classifier:
    model = Classifier()
    _load_state(model, value, context)
    return model


class _TimedCheckpoint:
    """Keeps a training's state in pieces, at most once in ``SAVE_SECONDS``."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._last = pieces, time.monotonic()

    def load(self) -> dict[str, Tensor] | None:
        state = self._pieces.load("training")
        return None if state is None else {name: torch.from_numpy(value) for name, value in state.items()}

    def save(self, state: dict[str, Tensor]) -> None:
        if time.monotonic() - self._last >= SAVE_SECONDS:
            tensors = {name: value.contiguous().numpy(force=True) for name, value in state.items()}
            self._pieces.save("training", tensors)
            self._last = time.monotonic()


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


# --- outputs and defences ------------------------------------------------------------------------------------------


def outputs(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """What a classifier answers for the first images of a split, in float32 whatever the precision."""
    model = _classifier(inputs["classifier"], context)
    images = _split(inputs, parameters["split"], parameters["images"]).images
    answers = predict(model, images.to(context.device), batch_size=64 if context.device.type == "cpu" else 4096)
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


# --- attack inputs -------------------------------------------------------------------------------------------------


def reconstructions(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """X~: images whose output through the shadow is near the given one."""
    given = torch.from_numpy(inputs["outputs"]["outputs"])
    auxiliary = _split(inputs, "shadow_train")
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
    shadow = frozen_for_inference(_classifier(inputs["shadow"], context), dtype=context.precision)
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
    auxiliary = _split(inputs, "shadow_train")
    given = torch.from_numpy(inputs["outputs"]["outputs"])[: parameters["images"]]
    begin = start_images("class_average", given, auxiliary, generator=draws)
    images = torch.from_numpy(_reconstruct(parameters, inputs, context, given, begin, weights))
    return {"weights": np.array(weights)} | _score(auxiliary.images[: len(images)], images)


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


# --- inverse model -------------------------------------------------------------------------------------------------


def _assembled(parameters: Parameters, inputs: Inputs, prefix: str = "") -> Tensor:
    names = {"O": "outputs", "A_L": "activations", "X~": "images"}
    available = {
        part: torch.from_numpy(inputs[prefix + part][name]) for part, name in names.items() if prefix + part in inputs
    }
    return assemble_inputs(parameters["combination"], available)


def inverse_model(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Train M_I on D_S^T through the shadow; its weights and losses."""
    attack_inputs = _assembled(parameters, inputs).to(context.device)
    images = _split(inputs, "shadow_train", len(attack_inputs)).images.to(context.device)
    validation = None
    if any(name.startswith("validation ") for name in inputs):
        validation_inputs = _assembled(parameters, inputs, "validation ").to(context.device)
        validation_images = _split(inputs, "shadow_validation", len(validation_inputs)).images
        validation = (validation_inputs, validation_images.to(context.device))
    model, history = fit_inverse_model(
        attack_inputs,
        images,
        epochs=parameters["epochs"],
        stream=(*parameters["stream"], "inverse model", parameters["inverse_seed"]),
        hidden=parameters["hidden"],
        validation=validation,
        precision=context.precision,
        checkpoint=_TimedCheckpoint(context.pieces),
        on_epoch=lambda: context.advance(0.99 / parameters["epochs"]),
    )
    return _state(model) | {
        "training_loss": np.array(history.training),
        "validation_loss": np.array(history.validation, dtype=np.float64),
    }


def inverse_reconstructions(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """What M_I makes of the attack inputs."""
    attack_inputs = _assembled(parameters, inputs).to(context.device)
    model = InverseModel(attack_inputs.shape[1], hidden=parameters["hidden"])
    _load_state(model, inputs["inverse_model"], context)
    return {"images": predict(model, attack_inputs).numpy(force=True)}


# --- baselines -----------------------------------------------------------------------------------------------------


def baseline(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Reconstructions of D_F that need no attack; the ceiling among them sees the true images."""
    given = torch.from_numpy(inputs["outputs"]["outputs"])
    auxiliary = _split(inputs, "shadow_train")
    draws = generator(*parameters.get("stream", ()), "baseline", parameters["baseline"])

    def nearest_outputs() -> Tensor:
        known = torch.from_numpy(inputs["auxiliary outputs"]["outputs"])
        return nearest_output_averages(given, auxiliary.first(len(known)), known, k=parameters["k"])

    def nearest_images() -> Tensor:
        return nearest_auxiliary_images(_split(inputs, "test", len(given)).images, auxiliary)

    makers = {
        "black image": lambda: black_images(given, auxiliary),
        "global average": lambda: global_average_images(given, auxiliary),
        "class average": lambda: class_average_images(given, auxiliary),
        "SSIM-optimal class image": lambda: ssim_optimal_images(auxiliary, generator=draws)[given.argmax(1)],
        "random class image": lambda: random_class_images(given, auxiliary, generator=draws),
        "average of nearest outputs": nearest_outputs,
        "nearest auxiliary image": nearest_images,
    }
    return {"images": makers[parameters["baseline"]]().numpy()}


# --- scores and pictures -------------------------------------------------------------------------------------------


def _score(images: Tensor, reconstructed: Tensor) -> dict[str, np.ndarray]:
    pair = (images.double(), reconstructed.double())
    return {"ssim": ssim_per_image(*pair).float().numpy(), "mse": mse_per_image(*pair).float().numpy()}


def scores(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """SSIM and MSE of every reconstruction of a split; here, and only here, the true images come in."""
    reconstructed = torch.from_numpy(inputs["images"]["images"])
    split = _split(inputs, parameters["split"], len(reconstructed))
    predicted = inputs["outputs"]["outputs"].argmax(1)
    return _score(split.images, reconstructed) | {"labels": split.labels.numpy(), "predicted": predicted}


def score_table(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Scores of several rows, one line per row, inverse seed and image (Tables 3 to 6)."""
    frames = []
    for name, label in parameters["rows"].items():
        value = inputs[name]
        columns = {
            "image": np.arange(len(value["ssim"]), dtype=np.int32),
            "label": value["labels"].astype(np.int8),
            "predicted": value["predicted"].astype(np.int8),
            "ssim": value["ssim"],
            "mse": value["mse"],
        }
        frames.append(pd.DataFrame({**label, **columns}))
    return pd.concat(frames, ignore_index=True)


def gallery(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Reconstructions of D_F as 8-bit pictures, with the true ones as row "target" (all image figures)."""
    names = [name for name in inputs if name != "splits"]
    pictures = {name: torch.from_numpy(inputs[name]["images"]) for name in names}
    count = len(next(iter(pictures.values())))
    split = _split(inputs, "test", count)
    rows = {"target": split.images} | pictures
    return _image_frame({name: (images, split.labels.tolist()) for name, images in rows.items()})


def _image_frame(rows: dict[str, tuple[Tensor, Any]]) -> pd.DataFrame:
    frames = []
    for name, (images, labels) in rows.items():
        pixels = (images * 255).round().to(torch.uint8).flatten(1).numpy()
        columns = {
            "row": name,
            "image": np.arange(len(images), dtype=np.int32),
            "label": np.array(list(labels), dtype=np.int8),
            "pixels": [picture.tobytes() for picture in pixels],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
