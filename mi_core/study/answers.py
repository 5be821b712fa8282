"""Forms in which a target can answer: logits or probabilities, in full, rounded, cut off or written short."""

from dataclasses import dataclass

__all__ = ["DEFENCES", "LOGITS", "WRITTEN", "Answer"]


@dataclass(frozen=True)
class Answer:
    """What the target answers with, which the attacker knows and does to his shadows' outputs as well.

    Attributes:
        form: "logits" or "probabilities"; of these the attacker takes logarithms.
        number: how probabilities are written, "float32" or "float16".
        decimals: kept by rounding; None for all.
        k: how many of the largest outputs are shown; the others are zero.
    """

    form: str = "logits"
    number: str = "float32"
    decimals: int | None = None
    k: int = 10

    @property
    def row(self) -> str:
        """Its name in score tables, which is in their keys."""
        name = self.form + (f", {self.number}" if self.number != "float32" else "")
        if self.decimals is not None:
            return f"{name}, {self.decimals} decimals"
        return name + (f", k={self.k}" if self.k < 10 else "")

    @property
    def label(self) -> str:
        """Its name for readers."""
        return self.row.replace("float16", "half precision").replace(" 1 decimals", " 1 decimal")


LOGITS = Answer()
# What a model that answers with probabilities sends: numbers of two sizes, or what a web page prints.
WRITTEN = (Answer("probabilities"), Answer("probabilities", "float16"), Answer("probabilities", decimals=4))
DEFENCES = (
    LOGITS,
    *(Answer(decimals=decimals) for decimals in (4, 3, 2, 1, 0)),
    *(Answer(k=k) for k in (7, 5, 3, 2, 1)),
    *WRITTEN,
    *(Answer("probabilities", decimals=decimals) for decimals in (3, 2, 1, 0)),
)
