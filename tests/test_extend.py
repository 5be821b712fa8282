"""The page on how to add things: its very lines run, and do what they say."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from conftest import ROOT


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the blocks of the page define, executed in order."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "book" / "pages" / "extend.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    path: Path = tmp_path_factory.mktemp("page") / "extend.py"
    path.write_text("".join(blocks))
    return runpy.run_path(str(path))


def test_the_defence_disturbs_every_output(page: dict[str, object]) -> None:
    exact = page["predict"](page["target"], page["secret"])
    assert page["seen"].shape == exact.shape
    assert (page["seen"] != exact).all()


def test_the_attack_input_is_learned_from_and_attacked_with(page: dict[str, object]) -> None:
    assert page["with_ranks"](torch.tensor([[3.0, 1.0, 2.0]])).tolist() == [[3.0, 1.0, 2.0, 2.0, 0.0, 1.0]]
    assert page["reconstructions"].shape == page["secret"].shape
    assert len(page["history"].training) == 1


def test_the_data_set_becomes_five_sets(page: dict[str, object]) -> None:
    splits = page["splits"]
    sizes = [len(getattr(splits, name)) for name in splits.names()]
    assert sizes == [100, 60, 100, 60, 80]
