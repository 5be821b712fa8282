"""Stages where the true images come in: scores, and the pictures of the book."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mi_core.attacks.baselines import shuffled_within_class
from mi_core.attacks.gradient import class_averages, class_instances, start_images
from mi_core.data import CLASSES, Split
from mi_core.metrics import euclidean_distances, rank_within_class, ssim_distances
from mi_core.models import EvaluationModel
from mi_core.randomness import generator
from mi_core.reidentification import area_under_curve
from mi_core.study.graph import Context
from mi_core.study.stages.common import Inputs, Parameters, load_split, load_state, score_pairs
from mi_core.study.store import Value
from mi_core.training import predict

__all__ = ["agreement", "features", "gallery", "score_table", "scores", "starts"]


def features(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """What the evaluation model sees in the true images of a split."""
    images = load_split(inputs, parameters["split"]).images
    return {"features": _judge(inputs["evaluation model"], images, context)[0].numpy()}


def _judge(evaluation_model: Value, images: Tensor, context: Context) -> tuple[Tensor, Tensor]:
    """Features (n, 96) of images under the evaluation model, to five decimals so that equal images stay equal, and
    the classes that it sees."""
    model = EvaluationModel()
    load_state(model, evaluation_model, context)
    found = predict(_FeaturesAndLogits(model), images.to(context.device)).cpu()
    logits, seen = found[:, :CLASSES], found[:, CLASSES:]
    return seen.round(decimals=5), logits.argmax(1)


class _FeaturesAndLogits(torch.nn.Module):
    def __init__(self, model: EvaluationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        features = self.model.features(images)
        return torch.cat([self.model.last(features), features], dim=1)


def scores(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Everything that is measured of the reconstructions of a split's first images, one value an image."""
    reconstructed = torch.from_numpy(inputs["images"]["images"])
    count = len(reconstructed)
    split = load_split(inputs, parameters["split"])
    truth = split.first(count)
    predicted = torch.from_numpy(inputs["outputs"]["outputs"]).argmax(1)
    averages = class_averages(load_split(inputs, "shadow_train"))[predicted]
    seen, judged = _judge(inputs["evaluation model"], reconstructed, context)
    true_features = torch.from_numpy(inputs["features"]["features"])
    value = score_pairs(truth.images, reconstructed) | {
        "label": truth.labels.numpy(),
        "predicted": predicted.numpy(),
        "judged": judged.numpy(),
        "feature_distance": (seen - true_features[:count]).norm(dim=1).numpy(),
        "to_class_average": score_pairs(averages, reconstructed)["ssim"],
    }
    device = context.device
    here = [tensor.to(device) for tensor in (reconstructed, split.images, seen, true_features)]
    for name, points, candidates, distance in (
        ("l2", here[0], here[1], euclidean_distances),
        ("ssim", here[0], here[1], ssim_distances),
        ("features", here[2], here[3], euclidean_distances),
    ):
        ranks = rank_within_class(points, candidates, split.labels, distance=distance)
        value |= {"others": ranks.others.numpy(), f"closer_{name}": ranks.closer.numpy()}
        value |= {f"tied_{name}": ranks.tied.numpy(), f"false_positives_{name}": ranks.false_positives.numpy()}
    return value | _shuffled(parameters, truth, split, reconstructed, predicted)


def _shuffled(
    parameters: Parameters, truth: Split, split: Split, reconstructed: Tensor, predicted: Tensor
) -> dict[str, np.ndarray]:
    """The control: each image gets the reconstruction of another one with the same predicted class.

    Reconstructions depend on one output each, so this is what outputs permuted within the predicted class would give
    (but for X~'s gradients, which the thesis's code clips in groups of 32). NaN where a class was predicted once.
    """
    donors = shuffled_within_class(predicted, generator=generator(*parameters["stream"], "shuffled outputs"))
    swapped = reconstructed[donors]
    ranks = rank_within_class(swapped, split.images, split.labels, left_out=donors)
    value = score_pairs(truth.images, swapped) | {"auc": area_under_curve(ranks.closer, ranks.tied, ranks.others)}
    moved = (donors != torch.arange(len(donors))).numpy()
    return {f"shuffled_{name}": np.where(moved, numbers, np.nan) for name, numbers in value.items()}


def score_table(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Scores of several rows, one line per row, inverse seed and image (Tables 3 to 6 and the comparison)."""
    frames = []
    for name, label in parameters["rows"].items():
        columns = {column: _narrow(column, numbers) for column, numbers in inputs[name].items()}
        image = np.arange(len(columns["ssim"]), dtype=np.int32)
        frames.append(pd.DataFrame({**label, "image": image, **columns}))
    return pd.concat(frames, ignore_index=True)


def _narrow(column: str, numbers: np.ndarray) -> np.ndarray:
    """Classes as bytes, counts as 16 bits, everything else as 32-bit numbers."""
    if column in ("label", "predicted", "judged"):
        return numbers.astype(np.int8)
    return numbers.astype(np.int16 if column.startswith(("others", "closer", "tied")) else np.float32)


def agreement(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """How alike target and shadow answer for D_F: share of equal classes, and correlation of the outputs of a class,
    averaged over the ten."""
    target, shadow = (inputs[name]["outputs"].astype(np.float64) for name in ("target", "shadow"))
    correlations = [np.corrcoef(target[:, label], shadow[:, label])[0, 1] for label in range(CLASSES)]
    equal = (target.argmax(1) == shadow.argmax(1)).mean()
    rows = [("share of equal classes", equal), ("correlation of outputs", np.mean(correlations))]
    return pd.DataFrame([{"row": "M_S", "split": "test", "metric": name, "value": float(x)} for name, x in rows])


def starts(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """The three places where X~ begins, one image a class (Fig 4)."""
    auxiliary = load_split(inputs, "shadow_train")
    noise = start_images("random", torch.eye(CLASSES), auxiliary, generator=generator(*parameters["stream"], "Fig 4"))
    kinds = {
        "random": noise,
        "class_instance": class_instances(auxiliary),
        "class_average": class_averages(auxiliary),
    }
    return _image_frame({kind: (images, range(CLASSES)) for kind, images in kinds.items()})


def gallery(parameters: Parameters, inputs: Inputs, context: Context) -> Value:
    """Reconstructions of D_F as pictures of few shades, with the true ones as row "target" (all image figures)."""
    names = [name for name in inputs if name != "splits"]
    pictures = {name: torch.from_numpy(inputs[name]["images"]) for name in names}
    count = len(next(iter(pictures.values())))
    split = load_split(inputs, "test", count)
    rows = {"target": split.images} | pictures
    steps = parameters["shades"] - 1
    return _image_frame(
        {name: ((images * steps).round() / steps, split.labels.tolist()) for name, images in rows.items()}
    )


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
