"""The box at the head of each chapter: its parameters, what they take, and what each costs at each profile."""

from collections.abc import Sequence
from html import escape

from mi_core.study.catalogue import catalogue, minutes_from_nothing
from mi_core.study.parameters import PROFILES
from mi_core.study.results import PUBLISHED

__all__ = ["CHAPTER_PARAMETERS", "parameter_box"]

CHAPTER_PARAMETERS = ("profile", "seed", "protocol", "device")  # those that the first cell of every chapter names


def parameter_box(experiments: Sequence[str]) -> str:
    """HTML, folded: name, type and range, default, and how long changing it takes at each profile.

    Args:
        experiments: what the chapter shows; without any it computes nothing.
    """
    minutes = minutes_from_nothing(experiments)
    changed = {
        "profile": minutes["all"],
        "seed": minutes["all"],
        "protocol": minutes["text"],
        "device": minutes["all"] * 0,
    }
    header = "".join(f'<th scope="col">{name}</th>' for name in ("parameter", "takes", "default", *PROFILES))
    lines = "".join(
        f'<tr><th scope="row"><code>{name}</code></th><td class="words">{escape(kind)}</td>'
        f'<td class="words"><code>{default}</code></td>'
        + "".join(f"<td>{_duration(cost)}</td>" for cost in changed[name])
        + "</tr>"
        for name, (kind, default) in _described().items()
    )
    return (
        '<details class="parameters"><summary>Parameters of this chapter, and what they cost</summary>'
        f'<table class="dataframe comparison"><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>'
        '<p class="scale">How long a change takes at each profile, estimated for two CPU cores with bfloat16: another '
        "profile or seed from nothing, protocol text once code is there. What the store holds is not computed again; "
        f'<code>{PUBLISHED}</code> only reads. <a href="parameters.html">All parameters</a></p></details>'
    )


def _described() -> dict[str, tuple[str, str]]:
    """Type and range, and default, by name."""
    listed = catalogue().set_index("name")
    known = {name: (line["kind"], str(line["default"])) for name, line in listed.iterrows()}
    known["profile"] = (" | ".join([PUBLISHED, *PROFILES]), PUBLISHED)
    return {name: known[name] for name in CHAPTER_PARAMETERS}


def _duration(minutes: float) -> str:
    if minutes == 0:
        return "nothing"
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
