"""Every form of answer against an attacker who knows it: he aligns, pools and trains through it."""

from collections.abc import Iterator
from dataclasses import replace

from mi_core.study.answers import DEFENCES, LOGITS, WRITTEN, Answer
from mi_core.study.graph import Task
from mi_core.study.ladder import Ladder, Rung
from mi_core.study.replicate import Replicate

__all__ = ["DEFENDED_CANDIDATES", "DEFENDED_SHADOWS", "answer_rungs", "defence_rungs", "defence_utility"]

DEFENDED_SHADOWS = 2  # of the pool that attacks each of them
DEFENDED_CANDIDATES = (("none", 10.0), ("diagonal", 10.0), ("covariance", 10.0))


def _against(replicate: Replicate, answer: Answer) -> Ladder:
    return Ladder(replicate, answer, largest=DEFENDED_SHADOWS, candidates=DEFENDED_CANDIDATES)


def defence_rungs(replicate: Replicate) -> Iterator[Rung]:
    """The label alone, and the aligned pool against every form of answer."""
    yield from Ladder(replicate).label_rungs()
    for answer in DEFENCES:
        yield replace(_against(replicate, answer).pool_rung(DEFENDED_SHADOWS), row=answer.row)


def answer_rungs(replicate: Replicate) -> Iterator[Rung]:
    """The ladder once more for logits and for probabilities as they are written, with the pool that defences meet."""
    yield from Ladder(replicate).label_rungs()
    for answer in (LOGITS, *WRITTEN):
        ladder = _against(replicate, answer)
        rungs = [ladder.plain_rung(), ladder.pool_rung(1), ladder.pool_rung(DEFENDED_SHADOWS)]
        rungs += [ladder.query_rung(budget) for budget in ladder.budgets()]
        for rung in (*rungs, ladder.queries_alone_rung()):
            yield replace(rung, row=f"{answer.row}: {rung.row}")


def defence_utility(replicate: Replicate) -> Task:
    """What every form of answer leaves to those whom the target serves."""
    shown = {answer.row: _against(replicate, answer).shown("target", "test") for answer in DEFENCES}
    forms = {answer.row: [answer.form, answer.number] for answer in DEFENCES}
    return Task("utility", {"forms": forms, "split": "test"}, {"splits": replicate.splits(), **shown})
