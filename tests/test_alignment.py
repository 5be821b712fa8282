"""Alignment of outputs: where the answer is known, the moments that must agree, and what is refused."""

import pytest
import torch
from torch import Tensor

from mi_core.attacks import alignment
from mi_core.attacks.alignment import METHODS, align_outputs, pool_outputs, standardise_outputs

BY_CLASS = ("diagonal", "covariance", "transport")
NO_PRIOR = 1e-9


def clouds(counts: list[int], seed: int = 5) -> Tensor:
    """Outputs (n, 4) in float64: for each class a cloud of its own shape around a vector whose largest is its class."""
    source = torch.Generator().manual_seed(seed)
    parts = []
    for label, count in enumerate(counts):
        shape = torch.randn(4, 4, generator=source, dtype=torch.float64) / 2
        centre = torch.zeros(4, dtype=torch.float64)
        centre[label] = 12
        parts.append(centre + torch.randn(count, 4, generator=source, dtype=torch.float64) @ shape)
    return torch.cat(parts)


@pytest.fixture
def reference() -> Tensor:
    return clouds([40, 50, 60, 45])


@pytest.mark.parametrize("method", BY_CLASS)
def test_other_units_are_undone(reference: Tensor, method: str) -> None:
    scale, shift = torch.tensor([0.5, 2.0, 3.0, 1.5]), torch.tensor([1.0, -4.0, 0.0, 7.0])
    order = torch.randperm(len(reference), generator=torch.Generator().manual_seed(1))
    answered = (reference * scale + shift)[order]
    assert not torch.allclose(answered, reference[order], atol=1)
    found = align_outputs(answered, reference, method=method, prior=NO_PRIOR)
    assert torch.allclose(found, reference[order], atol=1e-5)


def test_standardised_outputs_do_not_know_the_units_of_an_image(reference: Tensor) -> None:
    answered = reference * torch.linspace(0.5, 3, len(reference))[:, None] + 2
    pair = [align_outputs(outputs, reference, method="standardised") for outputs in (answered, reference)]
    assert torch.allclose(*pair)
    assert torch.allclose(pair[0].std(1), reference.std(1).mean().expand(len(reference)))
    assert torch.allclose(standardise_outputs(pair[0]), standardise_outputs(reference))


@pytest.mark.parametrize("method", ["diagonal", "covariance"])
def test_moments_of_each_class_become_those_of_the_reference(reference: Tensor, method: str) -> None:
    found = align_outputs(clouds([30, 80, 45, 33], seed=6), reference, method=method, prior=NO_PRIOR)
    assert found.argmax(1).bincount().tolist() == [30, 80, 45, 33]
    for label in range(4):
        ours, theirs = (rows[rows.argmax(1) == label] for rows in (found, reference))
        assert torch.allclose(ours.mean(0), theirs.mean(0), atol=1e-6)
        covariances = [torch.cov(rows.T, correction=0) for rows in (ours, theirs)]
        assert torch.allclose(covariances[0].diagonal(), covariances[1].diagonal(), rtol=1e-3)
        assert torch.allclose(*covariances, rtol=1e-3, atol=1e-3) == (method == "covariance")


def test_transport_moves_within_the_cloud_of_the_reference(reference: Tensor) -> None:
    """With as many outputs in a class as the reference has, each becomes one of the reference's."""
    found = align_outputs(clouds([40, 50, 60, 45], seed=6), reference, method="transport", prior=NO_PRIOR)
    assert torch.cdist(found, reference).min(1).values.max() < 1e-6
    assert len(found.unique(dim=0)) == len(reference)


def test_what_is_learned_brings_each_class_nearer_than_its_moments_do(reference: Tensor) -> None:
    """By the energy distance, for classes as frequent as in the reference and for others."""
    for counts in ([40, 50, 60, 45], [80, 30, 33, 45]):
        answered = clouds(counts, seed=6)
        pair = [
            align_outputs(answered, reference, method=method, prior=NO_PRIOR) for method in ("learned", "covariance")
        ]
        learned, by_moments = (energy_distance(outputs, reference) for outputs in pair)
        assert 0 < learned < 0.95 * by_moments


def energy_distance(outputs: Tensor, reference: Tensor) -> float:
    """Of the distributions of both, summed over classes."""
    total = 0.0
    for label in range(outputs.shape[1]):
        ours, theirs = (rows[rows.argmax(1) == label] for rows in (outputs, reference))
        total += float(2 * torch.cdist(ours, theirs).mean())
        total -= float(torch.cdist(ours, ours).mean() + torch.cdist(theirs, theirs).mean())
    return total


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_itself_stays_and_nothing_is_changed_in_place(reference: Tensor, method: str) -> None:
    before = reference.clone()
    found = align_outputs(reference.float(), reference.float(), method=method)
    assert found.dtype == torch.float32 and found.data_ptr() != reference.data_ptr()
    assert torch.equal(reference, before)
    if method != "standardised":
        assert torch.allclose(found, reference.float(), atol=0.05 if method == "learned" else 1e-4)


@pytest.mark.parametrize("method", BY_CLASS)
def test_few_outputs_move_little_and_a_single_one_is_no_accident(reference: Tensor, method: str) -> None:
    answered = clouds([9, 9, 9, 9], seed=6) * 1.3 + 1
    moved = [align_outputs(answered, reference, method=method, prior=prior) - answered for prior in (1.0, 100.0, 1e9)]
    sizes = [float(by.norm(dim=1).mean()) for by in moved]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 1e-4
    one = align_outputs(answered[:1], reference, method=method)
    assert (one - answered[:1]).norm() < answered[:1].norm()


@pytest.mark.parametrize("method", BY_CLASS)
def test_the_map_comes_from_the_outputs_that_were_seen(reference: Tensor, method: str) -> None:
    seen, attacked = clouds([40, 40, 0, 40], seed=6), clouds([3, 3, 3, 3], seed=7)
    whole = align_outputs(attacked, reference, method=method, seen=seen)
    alone = align_outputs(attacked[4:6], reference, method=method, seen=seen)
    assert torch.allclose(whole[4:6], alone)
    moments = align_outputs(attacked, reference, method="diagonal", seen=seen, prior=1e-9)
    assert torch.isfinite(moments).all()  # the third class was never seen


def test_a_class_that_was_never_seen_is_moved_as_all_outputs_together_are() -> None:
    reference = clouds([40, 50, 2, 45])
    seen, attacked = clouds([40, 40, 0, 40], seed=6), clouds([3, 3, 3, 3], seed=7)
    found = align_outputs(attacked, reference, seen=seen, prior=NO_PRIOR)
    moments = [(rows.mean(0), rows.std(0, correction=0)) for rows in (seen, reference)]
    overall = (attacked - moments[0][0]) / moments[0][1] * moments[1][1] + moments[1][0]
    third = overall.argmax(1) == 2
    assert third.any() and not torch.allclose(attacked, overall, atol=1)
    assert torch.allclose(found[third], overall[third])
    assert not torch.allclose(found[~third], overall[~third], atol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_neither_kept_nor_needed(reference: Tensor, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "LEARNED_STEPS", 2)
    answered = clouds([20, 20, 20, 20], seed=6)
    asking = [rows.clone().requires_grad_(True) for rows in (answered, reference)]
    expected = align_outputs(answered, reference, method=method)
    for pair in (asking, [rows * 1 for rows in asking]):
        found = align_outputs(*pair, method=method)
        assert not found.requires_grad
        assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(align_outputs(answered, reference, method=method), expected)


def test_covariance_is_the_map_that_moves_least(reference: Tensor) -> None:
    """Of all maps between two normal clouds: no rotation of the result is nearer to where the outputs were."""
    outputs = clouds([60, 60, 60, 60], seed=8)
    diagonal = align_outputs(outputs, reference, method="diagonal", prior=NO_PRIOR)
    found = align_outputs(outputs, reference, method="covariance", prior=NO_PRIOR)
    here = found.argmax(1) == 1
    centre = found[here].mean(0)
    root = torch.linalg.cholesky(torch.cov(found[here].T, correction=0))
    source = torch.Generator().manual_seed(3)
    moved = (found[here] - diagonal[here]).square().sum()
    for _ in range(20):
        rotation = torch.linalg.qr(torch.randn(4, 4, generator=source, dtype=torch.float64))[0]
        other = (found[here] - centre) @ torch.linalg.inv(root).T @ rotation @ root.T + centre
        assert torch.allclose(torch.cov(other.T), torch.cov(found[here].T), atol=1e-4)  # as good a match
        assert (other - diagonal[here]).square().sum() > moved


def test_a_pool_pairs_every_output_with_its_image(reference: Tensor) -> None:
    images = torch.arange(len(reference))
    outputs, belonging = pool_outputs([reference, reference[:7] + 1], images)
    assert torch.equal(outputs, torch.cat([reference, reference[:7] + 1]))
    assert belonging.tolist() == [*range(len(reference)), *range(7)]


def test_what_does_not_fit_is_refused(reference: Tensor) -> None:
    with pytest.raises(ValueError, match="`method` must be one of none, .*; got 'coral'"):
        align_outputs(reference, reference, method="coral")
    with pytest.raises(ValueError, match="`prior` must be above 0; got 0"):
        align_outputs(reference, reference, prior=0)
    with pytest.raises(ValueError, match=r"`reference` must .*, \(n, 4\) float with n > 0; got \(195, 3\)"):
        align_outputs(reference, reference[:, :3])
    with pytest.raises(ValueError, match=r"`seen` must .*, \(n, 4\) float with n > 0; got \(0, 4\)"):
        align_outputs(reference, reference, seen=reference[:0])
    with pytest.raises(ValueError, match="`outputs` must be finite"):
        align_outputs(reference / 0, reference)
    with pytest.raises(ValueError, match=r"as many outputs as `images`, 7; got \[7, 195\]"):
        pool_outputs([reference[:7], reference], torch.zeros(7))
    with pytest.raises(ValueError, match="`parts` must be at least one tensor"):
        pool_outputs([], torch.zeros(195))
    with pytest.raises(ValueError, match=r"`parts\[1\]` must .*, \(n, 4\) float with n > 0; got \(195, 3\)"):
        pool_outputs([reference, reference[:, :3]], torch.zeros(195))


def test_what_is_learned_of_labels_alone_is_finite(reference: Tensor) -> None:
    alone = torch.nn.functional.one_hot(reference.argmax(1), reference.shape[1]).to(reference)
    assert torch.isfinite(align_outputs(alone, alone, method="learned")).all()
