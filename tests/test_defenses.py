import pytest
import torch

from mi_core.defenses import label_only, round_outputs, truncate_outputs


@pytest.fixture
def outputs() -> torch.Tensor:
    """Like logits: one clearly positive a row, the others mostly negative."""
    source = torch.Generator().manual_seed(3)
    values = 4 * torch.randn(37, 10, generator=source) - 5
    top = torch.randint(10, (37, 1), generator=source)
    return values.scatter(1, top, 10 + torch.rand(37, 1, generator=source))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decimals", range(5))
def test_rounding_moves_by_half_a_unit_at_most_and_is_idempotent(outputs, decimals, dtype):
    outputs = outputs.to(dtype)
    rounded = round_outputs(outputs, decimals)
    assert rounded.dtype == dtype and rounded.shape == outputs.shape
    change = (rounded - outputs).abs().max()
    assert 0.4 * 10**-decimals < change <= 0.5 * 10**-decimals + 4 * torch.finfo(dtype).eps * 20
    assert torch.equal(round_outputs(rounded, decimals), rounded)
    scaled = rounded.double() * 10**decimals
    assert (scaled - scaled.round()).abs().max() < torch.finfo(dtype).eps * 20 * 10**decimals


def test_rounding_by_hand():
    outputs = torch.tensor([[1.26, -0.31, 20.0], [-7.349, 0.051, -0.04]])
    expected = torch.tensor([[1.3, -0.3, 20.0], [-7.3, 0.1, 0.0]])
    torch.testing.assert_close(round_outputs(outputs), expected)
    torch.testing.assert_close(round_outputs(outputs, 0), torch.tensor([[1.0, 0.0, 20.0], [-7.0, 0.0, 0.0]]))


def test_rounding_hides_differences_below_the_last_decimal(outputs):
    rounded = round_outputs(outputs, 1)
    assert torch.equal(round_outputs(rounded + 0.03, 1), rounded)
    assert not torch.equal(round_outputs(rounded + 0.07, 1), rounded)


@pytest.mark.parametrize("decimals", [-1, 8])
def test_rounding_refuses_decimals_out_of_range(outputs, decimals):
    with pytest.raises(ValueError, match=f"`decimals` must be between 0 and 7; got {decimals}"):
        round_outputs(outputs, decimals)


@pytest.mark.parametrize("fill", ["zero", "lowest_remaining"])
@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_truncation_keeps_exactly_the_k_largest(outputs, k, fill):
    truncated = truncate_outputs(outputs, k, fill=fill)
    for row, original in zip(truncated, outputs, strict=True):
        kept = original >= original.sort(descending=True).values[k - 1]
        assert kept.sum() == k
        assert torch.equal(row[kept], original[kept])
        hidden = 0.0 if fill == "zero" else original[kept].min()
        assert (row[~kept] == hidden).all()


@pytest.mark.parametrize(("k", "fill"), [(1, "zero"), (5, "zero"), (2, "lowest_remaining"), (9, "lowest_remaining")])
def test_truncation_keeps_the_arg_max_of_outputs_with_a_positive_one(outputs, k, fill):
    assert torch.equal(truncate_outputs(outputs, k, fill=fill).argmax(1), outputs.argmax(1))


@pytest.mark.parametrize("fill", ["zero", "lowest_remaining"])
def test_keeping_all_outputs_changes_nothing(outputs, fill):
    assert torch.equal(truncate_outputs(outputs, 10, fill=fill), outputs)


def test_truncation_by_hand():
    outputs = torch.tensor([[3.0, -1.0, 2.0, -4.0], [-2.0, -1.0, -3.0, -5.0]])
    zeros = torch.tensor([[3.0, 0.0, 2.0, 0.0], [-2.0, -1.0, 0.0, 0.0]])
    lowest = torch.tensor([[3.0, 2.0, 2.0, 2.0], [-2.0, -1.0, -2.0, -2.0]])
    assert torch.equal(truncate_outputs(outputs, 2), zeros)
    assert torch.equal(truncate_outputs(outputs, 2, fill="lowest_remaining"), lowest)


def test_ties_keep_the_lower_class():
    outputs = torch.tensor([[1.0, 5.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    expected = torch.tensor([[1.0, 5.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]])
    assert torch.equal(truncate_outputs(outputs, 2), expected)


@pytest.mark.parametrize("k", [0, 11])
def test_truncation_refuses_k_out_of_range(outputs, k):
    with pytest.raises(ValueError, match=f"`k` must be between 1 and 10.*got {k}"):
        truncate_outputs(outputs, k)


def test_truncation_refuses_an_unknown_fill(outputs):
    with pytest.raises(ValueError, match="`fill` must be 'zero' or 'lowest_remaining'; got 'mean'"):
        truncate_outputs(outputs, 3, fill="mean")


@pytest.mark.parametrize(
    "defence", [lambda outputs: round_outputs(outputs, 1), lambda outputs: truncate_outputs(outputs, 3)]
)
def test_defences_return_new_tensors_and_refuse_other_shapes(outputs, defence):
    before = outputs.clone()
    answer = defence(outputs)
    answer.add_(1)
    assert torch.equal(outputs, before)
    for wrong in (outputs[0], outputs[None]):
        with pytest.raises(ValueError, match=r"`outputs` must .*two.dimension.*; got \("):
            defence(wrong)


@pytest.mark.parametrize("fill", ["zero", "lowest_remaining"])
def test_keeping_all_outputs_returns_a_new_tensor(outputs, fill):
    before = outputs.clone()
    truncate_outputs(outputs, 10, fill=fill).add_(1)
    assert torch.equal(outputs, before)


def test_label_only_keeps_the_arg_max_and_nothing_else():
    outputs = torch.tensor([[3.0, -1.0, 2.0], [-5.0, -4.0, -9.0]])
    assert torch.equal(label_only(outputs), torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    assert torch.equal(label_only(outputs * 7), label_only(outputs))
    with pytest.raises(ValueError, match="`outputs` must have two dimensions"):
        label_only(outputs[0])
