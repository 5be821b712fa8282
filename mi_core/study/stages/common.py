"""What the stages share: types, device and precision, and how data sets and models are read from artefacts."""

import ctypes
import os
import platform
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mi_core.data import Split
from mi_core.errors import UserError
from mi_core.metrics import mse_per_image, ssim_per_image
from mi_core.models import Classifier
from mi_core.study.graph import Context
from mi_core.study.store import Pieces, Value

__all__ = [
    "SAVE_SECONDS",
    "Inputs",
    "Parameters",
    "TimedCheckpoint",
    "choose_device",
    "choose_precision",
    "keep_freed_memory",
    "load_classifier",
    "load_split",
    "load_state",
    "score_pairs",
    "state_arrays",
]

Parameters = Mapping[str, Any]
Inputs = Mapping[str, Value]

SAVE_SECONDS = float(os.environ.get("MI_CORE_SAVE_SECONDS", 20))  # a kill loses at most about this much


def choose_device(requested: str) -> torch.device:
    """The device to compute on.

    Raises:
        UserError: "cuda" where there is none.
    """
    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` is 'cuda', but this machine has no GPU that PyTorch can use; use 'auto' or 'cpu'.")
    if requested == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # convolutions in float32 are that, as results say of themselves
    return torch.device("cuda")


def choose_precision(requested: str, device: torch.device) -> torch.dtype:
    """bfloat16 for "auto" where the hardware computes with it, else float32."""
    if requested == "auto":
        on_gpu = device.type == "cuda"
        fast = torch.cuda.is_bf16_supported(False) if on_gpu else torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return getattr(torch, requested)


@cache
def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next use; fresh pages for every step's arrays cost up to half the time."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own mapping
        library.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def load_split(inputs: Inputs, name: str, count: int | None = None) -> Split:
    """The first ``count`` images of a split, from all splits or, in an attack, from the attacker's."""
    stored = inputs["splits" if "splits" in inputs else "auxiliary"]
    parts = [torch.from_numpy(stored[f"{name}.{part}"][:count]) for part in ("images", "labels", "indices")]
    return Split(parts[0].float() / 255, parts[1], parts[2])


def state_arrays(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """A model's weights as an artefact holds them; ``load_state`` reads them."""
    return {f"model.{name}": value.contiguous().numpy(force=True) for name, value in model.state_dict().items()}


def load_state(model: torch.nn.Module, value: Value, context: Context) -> None:
    """Give a model the weights of an artefact, on the context's device and in evaluation mode."""
    state = {name[6:]: torch.from_numpy(array) for name, array in value.items() if name.startswith("model.")}
    model.load_state_dict(state)
    model.to(context.device).eval()


def load_classifier(value: Value, context: Context) -> Classifier:
    """The classifier of an artefact."""
    model = Classifier()
    load_state(model, value, context)
    return model


class TimedCheckpoint:
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


def score_pairs(images: Tensor, reconstructed: Tensor) -> dict[str, np.ndarray]:
    """SSIM and MSE of each pair, computed in float64."""
    pair = (images.double(), reconstructed.double())
    return {"ssim": ssim_per_image(*pair).float().numpy(), "mse": mse_per_image(*pair).float().numpy()}
