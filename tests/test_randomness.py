import pytest
import torch

from mi_core.randomness import derive_seed, generator, seeded


def test_a_seed_is_the_first_63_bits_of_the_sha256_of_its_names():
    # SHA-256 of "a" begins with ca978112 ca1bbdca: stored results depend on seeds that never change.
    assert derive_seed("a") == 0xCA978112CA1BBDCA >> 1


@pytest.mark.parametrize(
    "other", [(1, "replicate", 0), (0, "replicate", 1), (0, 0, "replicate"), (0, "replicate"), (0, "replicate0")]
)
def test_a_seed_depends_on_every_name_and_their_order(other):
    assert derive_seed(*other) != derive_seed(0, "replicate", 0)


def test_seeds_lie_in_the_range_that_torch_accepts_and_rarely_meet():
    seeds = [derive_seed(0, number) for number in range(500)]
    assert min(seeds) >= 0 and max(seeds) < 2**63
    assert len(set(seeds)) == 500
    assert max(seeds) > 2**62  # not cut shorter than promised


def test_a_generator_repeats_its_stream_and_leaves_the_others_alone():
    first = torch.rand(2, 3, generator=generator(0, "start"))
    torch.rand(5, generator=generator(0, "noise"))
    assert torch.equal(torch.rand(2, 3, generator=generator(0, "start")), first)
    assert not torch.equal(torch.rand(2, 3, generator=generator(0, "noise")), first)


def test_a_generator_draws_on_the_cpu():
    assert generator(0).device == torch.device("cpu")


def test_seeded_fixes_the_global_draws_of_its_block_only():
    with seeded(0, "weights"):
        first = torch.rand(4)
    before = torch.get_rng_state()
    with seeded(0, "weights"):
        second = torch.rand(4)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1, "weights"):
        assert not torch.equal(torch.rand(4), first)


def test_seeded_gives_the_global_stream_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(0):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)
