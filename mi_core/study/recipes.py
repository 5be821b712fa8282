"""How the ladder's inverse models are built and trained, one choice changed at a time, and which choices are best."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

__all__ = ["RECIPES", "Recipe", "best_recipe", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """Choices of ``mi_core.attacks.inverse.fit_inverse_model``, which says what they mean."""

    hidden: str = "relu"
    width: float = 1.0
    loss: str = "ssim"
    schedule: str = "constant"

    @property
    def parameters(self) -> dict[str, Any]:
        """``hidden``, and what differs from the ladder's own recipe; the rest would only make keys longer."""
        own = Recipe()
        return {"hidden": self.hidden} | {
            name: value for name, value in asdict(self).items() if value != getattr(own, name)
        }


RECIPES = {
    "as in the ladder": Recipe(),
    "Tanh and dropout (thesis)": Recipe(hidden="tanh_dropout"),
    "Tanh": Recipe(hidden="tanh"),
    "dropout": Recipe(hidden="relu_dropout"),
    "half as wide": Recipe(width=0.5),
    "twice as wide": Recipe(width=2.0),
    "MSE": Recipe(loss="mse"),
    "SSIM and MSE": Recipe(loss="ssim_and_mse"),
    "cosine schedule": Recipe(schedule="cosine"),
}


def best_recipe(scores: pd.DataFrame) -> Recipe:
    """The best value of each choice, where the others are as in the ladder, all put together.

    Args:
        scores: columns hidden, width, loss, schedule and ssim, a line for each recipe and held-out shadow.
    """
    names = [field.name for field in fields(Recipe)]
    own = asdict(Recipe())
    means = scores.groupby(names)["ssim"].mean().reset_index()
    best = {}
    for name in names:
        others = [each for each in names if each != name]
        comparable = means[(means[others] == pd.Series(own)[others]).all(axis=1)]
        best[name] = comparable.loc[comparable["ssim"].idxmax(), name]
    return Recipe(**best | {"width": float(best["width"])})


def recipe_of(parameters: Mapping[str, Any], scores: pd.DataFrame | None) -> Recipe:
    """What a task's parameters name, or the best recipe by the scores that it is given."""
    if scores is not None:
        return best_recipe(scores)
    return Recipe(**{field.name: parameters[field.name] for field in fields(Recipe) if field.name in parameters})
