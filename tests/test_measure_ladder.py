"""The ladder for a classifier of one's own: an example that runs, entitlements, and what is refused."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mi_core import ladder
from mi_core.attacks.alignment import align_outputs
from mi_core.data import CLASSES, Split
from mi_core.ladder import measure_ladder
from mi_core.randomness import seeded
from mi_core.training import fit


def small_classifier() -> nn.Module:
    """An engineer's own network: any module from images (n, 1, 32, 32) to ten outputs."""
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(16, CLASSES))


def trained(images: Tensor, labels: Tensor, *, name: str) -> Callable[[Tensor], Tensor]:
    with seeded("example", name):
        model = small_classifier()
    fit(model, images, labels, loss=nn.functional.cross_entropy, epochs=5, stream=("example", name))
    return model  # answers with the graph that they come from


@pytest.fixture
def halves(auxiliary: Split) -> tuple[Split, Split]:
    """The attacker's 32 images and 32 of the target's, of all classes alike."""
    order = auxiliary.labels.argsort(stable=True)
    parts = (order[0::2], order[1::2])
    return tuple(Split(auxiliary.images[p], auxiliary.labels[p], auxiliary.indices[p]) for p in parts)


def test_the_example_for_engineers_runs(halves: tuple[Split, Split]) -> None:
    auxiliary, truth = halves
    target = trained(truth.images, truth.labels, name="target")
    asked: list[int] = []

    def query(images: Tensor) -> Tensor:
        asked.append(len(images))
        return target(images)

    frame = measure_ladder(
        lambda number: trained(auxiliary.images, auxiliary.labels, name=f"shadow {number}"),
        target(truth.images),
        auxiliary,
        truth,
        shadows=2,
        query=query,
        budgets=(5,),
        epochs=1,
    )
    rows = ["class average", "one shadow", "one shadow, aligned", "2 shadows, aligned", "queries 5"]
    assert frame["row"].tolist() == rows
    assert frame["shadows"].tolist() == [0, 1, 1, 2, 2]
    assert list(frame.columns) == ["row", "shadows", "queries", "ssim", "mse", "gain", "top1_of_100", "auc"]
    assert asked == [5] == frame["queries"].tolist()[-1:]
    assert frame["gain"].iloc[0] == 0
    assert frame[["ssim", "mse", "auc"]].notna().all(axis=None) and frame["auc"].between(0, 1).all()


def test_without_queries_the_target_is_never_asked_and_other_units_are_undone(halves: tuple[Split, Split]) -> None:
    """The target is the shadow in other units: aligned, its outputs for the shadow's own images read alike."""
    auxiliary, _ = halves
    shadow = trained(auxiliary.images, auxiliary.labels, name="shadow 0")
    exact = shadow(auxiliary.images)

    def never(images: Tensor) -> Tensor:
        raise AssertionError("the target is asked although there is no budget")

    def ladder(outputs: Tensor) -> pd.DataFrame:
        frame = measure_ladder(
            lambda number: shadow, outputs, auxiliary, auxiliary,
            shadows=1, query=never, budgets=(), method="diagonal",
        )  # fmt: skip
        return frame.set_index("row")

    first, again = ladder(exact), ladder(exact * 3 - 5)
    aligned = [frame.loc["one shadow, aligned", "mse"] for frame in (first, again)]
    assert aligned[0] == pytest.approx(first.loc["one shadow", "mse"], rel=0.02)
    assert abs(aligned[1] - aligned[0]) < abs(again.loc["one shadow", "mse"] - aligned[0])
    assert "queries" not in " ".join(first.index)
    assert np.isnan(first.loc["one shadow", "top1_of_100"])  # a class has fewer than a hundred images


def test_what_cannot_be_measured_is_refused(halves: tuple[Split, Split]) -> None:
    auxiliary, truth = halves
    outputs = torch.zeros(len(truth), CLASSES)

    def never(number: int) -> Callable[[Tensor], Tensor]:
        raise AssertionError("no shadow is trained before the arguments are checked")

    with pytest.raises(ValueError, match="`target_outputs` must be as many as `truth`, 32; got 40"):
        measure_ladder(never, torch.zeros(40, CLASSES), auxiliary, truth)
    with pytest.raises(ValueError, match="`shadows` must be at least 1"):
        measure_ladder(never, outputs, auxiliary, truth, shadows=0)
    with pytest.raises(ValueError, match=r"with a way to `query`; got 4 and \[5\]"):
        measure_ladder(never, outputs, auxiliary, truth, budgets=[5])
    with pytest.raises(ValueError, match="`method` must be one of none, .* got 'coral' and 4"):
        measure_ladder(never, outputs, auxiliary, truth, method="coral")
    with pytest.raises(ValueError, match="`epochs` at least 1; got 'covariance' and 0"):
        measure_ladder(never, outputs, auxiliary, truth, epochs=0)
    with pytest.raises(ValueError, match="`budgets` between 1 and 32"):
        measure_ladder(never, outputs, auxiliary, truth, budgets=[41], query=lambda images: outputs)


def test_standardised_outputs_are_given_to_a_model_that_was_trained_on_such(
    halves: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    auxiliary, truth = halves
    shadow = trained(auxiliary.images, auxiliary.labels, name="shadow 0")
    trained_on: list[Tensor] = []
    fitted = ladder.fit_inverse_model

    def watched(inputs: Tensor, *given: object, **options: object) -> object:
        trained_on.append(inputs)
        return fitted(inputs, *given, **options)

    monkeypatch.setattr(ladder, "fit_inverse_model", watched)
    for method, count in (("covariance", 1), ("standardised", 2)):
        trained_on.clear()
        measure_ladder(
            lambda number: shadow, shadow(truth.images), auxiliary, truth, shadows=1, method=method, epochs=1
        )
        assert len(trained_on) == count
    reference = shadow(auxiliary.images).detach()
    assert torch.equal(trained_on[0], reference)
    assert torch.equal(trained_on[1], align_outputs(reference, reference, method="standardised"))
