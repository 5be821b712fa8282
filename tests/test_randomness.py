import threading
import time

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


def test_a_stream_is_the_same_beside_another_thread_that_draws_too():
    with seeded(0, "weights"):
        alone = [float(torch.rand(1)) for _ in range(200)]
    before = torch.get_rng_state()
    drawn: dict[str, list[float]] = {}

    def draw(name: str) -> None:
        with seeded(0, name):
            drawn[name] = []
            for _ in range(200):
                drawn[name].append(float(torch.rand(1)))
                time.sleep(0)

    threads = [threading.Thread(target=draw, args=(name,)) for name in ("weights", "others", "more")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn["weights"] == alone
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_inside_another_of_the_same_thread_does_not_wait_for_it():
    with seeded(0, "outer"), seeded(0, "inner"):
        assert torch.rand(1) is not None


def test_work_on_the_cpu_wakes_no_gpu(monkeypatch):
    def woken(*_):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "device_count", woken)
    monkeypatch.setattr(torch.cuda, "get_rng_state", woken)
    with seeded(0, "weights"):
        torch.rand(1)
