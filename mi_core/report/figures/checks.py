"""What every figure asks of its frame before it draws."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = [
    "check_columns",
    "check_known",
    "check_numbers",
    "check_once",
    "check_one_replicate",
    "chosen_rows",
    "replicate_of",
]


def check_columns(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Refuse a frame that lacks a column or has no line."""
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(f"`{name}` must have the columns {', '.join(columns)}; it lacks {', '.join(missing)}")
    if frame.empty:
        raise ValueError(f"`{name}` must have at least one line; it is empty")


def check_known(wanted: Sequence, known: Sequence, name: str) -> None:
    """Refuse to draw nothing, or something that the frame does not hold."""
    if not len(wanted):
        raise ValueError(f"`{name}` must have at least one element; it is empty")
    known = list(dict.fromkeys(known))
    for value in wanted:
        if value not in known:
            raise ValueError(f"`{name}` must be among {', '.join(map(str, known))}; got {value!r}")


def check_numbers(frame: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Refuse what cannot be placed on an axis."""
    for column in columns:
        if not np.isfinite(frame[column].astype(float)).all():
            raise ValueError(f"`{name}` must have finite numbers in {column}; got others")


def check_once(frame: pd.DataFrame, name: str, keys: Sequence[str]) -> None:
    """Refuse lines that would be drawn over one another."""
    twice = frame[frame.duplicated(list(keys))]
    if len(twice):
        got = ", ".join(map(str, twice.iloc[0][list(keys)]))
        raise ValueError(f"`{name}` must hold each {' and '.join(keys)} once; got {got} again")


def check_one_replicate(frame: pd.DataFrame, name: str) -> None:
    """Refuse several replicates where image numbers must tell images apart."""
    count = replicate_of(frame).nunique()
    if count != 1:
        raise ValueError(f"`{name}` must hold one replicate, since image numbers repeat; got {count}")


def chosen_rows(frame: pd.DataFrame, rows: Sequence[str] | None) -> list[str]:
    """The rows to draw, in their order: those asked for, or all."""
    if rows is not None:
        check_known(rows, frame["row"], "rows")
    return list(dict.fromkeys(frame["row"] if rows is None else rows))


def replicate_of(frame: pd.DataFrame) -> pd.Series:
    """The column ``replicate``, or zeros where there is none."""
    return frame["replicate"] if "replicate" in frame else pd.Series(0, index=frame.index, name="replicate")
