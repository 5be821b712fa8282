"""How the ladder's inverse models are built and trained, one choice changed at a time, and which recipe is best."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

__all__ = ["RECIPES", "Recipe", "best_alignment", "best_recipe", "recipe_of"]


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
    # What held-out shadows preferred in each choice alone, at the profile quick, put together.
    "dropout, half as wide, cosine schedule": Recipe(hidden="relu_dropout", width=0.5, schedule="cosine"),
}


def best_recipe(scores: pd.DataFrame) -> str:
    """The name of the recipe with the highest mean SSIM.

    Args:
        scores: columns row, a name of ``RECIPES``, and ssim; a line for each recipe and held-out shadow.
    """
    return str(scores.groupby("row")["ssim"].mean().idxmax())


def best_alignment(scores: pd.DataFrame) -> tuple[str, float]:
    """The method and the prior with the highest mean SSIM; one that changes M_S's own outputs too is not for pools.

    Args:
        scores: columns method, prior and ssim; a line for each alignment and held-out shadow.
    """
    fitting = scores[scores["method"] != "standardised"]
    return fitting.groupby(["method", "prior"])["ssim"].mean().idxmax()


def recipe_of(parameters: Mapping[str, Any], scores: pd.DataFrame | None) -> Recipe:
    """What a task's parameters name, or the best recipe by the scores that it is given."""
    if scores is not None:
        return RECIPES[best_recipe(scores)]
    return Recipe(**{field.name: parameters[field.name] for field in fields(Recipe) if field.name in parameters})
