"""Compare two variants of the same work: interleaved rounds, a confidence interval, a verdict."""

import gc
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import comb
from typing import Any, Self

SMALLEST_EFFECT = 0.05  # a smaller relative difference is reported as no difference
WIDEST = 0.10  # width of the interval, relative to the slower side, above which rounds continue
BATCH = 0.05  # seconds per side of a round, at least: a few runs of the slowest page
# Runs before those that are timed. The context of a variant may have emptied caches: the first run fills
# them, and a loop of 50 rows is compiled in the third.
WARM_UP = 3


class WrongResponse(Exception):
    """The variants do not give the same result, so their times must not be compared."""


@dataclass(frozen=True)
class Variant:
    """One of the two things that are compared.

    Attributes:
        run: the function that is timed; returns the result.
        context: entered before and left after each batch of runs; not timed.
    """

    run: Callable[[], object]
    context: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One dimension of a comparison (time, memory, queries, ...), as it is stored.

    Attributes:
        unit: "s", "B", or "" for a count.
        experiment: samples, one per round; a single one for a value that does not vary.
        control: the same for the control.
        ratio: median of experiment / control, calculated per round.
        low: lower end of the confidence interval of that median.
        high: upper end.
        verdict: "less", "more", "no difference" or "inconclusive".
    """

    unit: str
    experiment: list[float]
    control: list[float]
    ratio: float
    low: float
    high: float
    verdict: str

    @classmethod
    def sampled(
        cls, unit: str, experiment: list[float], control: list[float], alpha: float
    ) -> Self:
        """Summarize the samples of all rounds; too few of them are inconclusive.

        Args:
            unit: "s", "B", or "" for a count.
            experiment: one sample per round.
            control: as many samples of the control.
            alpha: probability that the interval misses the median, at most.
        """
        ratios = [quotient(new, old) for new, old in zip(experiment, control, strict=True)]
        try:
            low, high = confidence_interval(ratios, alpha)
        except ValueError:
            low, high = 0.0, math.inf
        return cls(
            unit=unit,
            experiment=experiment,
            control=control,
            ratio=statistics.median(ratios),
            low=low,
            high=high,
            verdict=judge(low, high),
        )

    @classmethod
    def constant(cls, unit: str, experiment: float, control: float) -> Self:
        """Compare two values that are the same in each round.

        Args:
            unit: "B", or "" for a count.
            experiment: value of the experiment.
            control: value of the control.
        """
        ratio = quotient(experiment, control)
        return cls(
            unit=unit,
            experiment=[float(experiment)],
            control=[float(control)],
            ratio=ratio,
            low=ratio,
            high=ratio,
            verdict=judge(ratio, ratio),
        )

    @property
    def decided(self) -> bool:
        """Whether sampling can stop: there is a verdict, and the interval is narrow."""
        narrow = self.high - self.low <= WIDEST * max(1, self.ratio)
        return narrow and self.verdict != "inconclusive"


@dataclass(kw_only=True)
class Measurement:
    """The result of one comparison, as it is stored.

    Attributes:
        suite: "defaults", "advice", "compare" or "reference".
        name: name of the default, the advice or the page.
        scenario: what was done, in words that a user would choose.
        experiment: label of the variant under test.
        control: label of the variant that it is compared with.
        claim: the dimension that the comparison is about.
        benefit: what the default improves, or the advice of the guide.
        source: URL of the documentation, if there is one.
        holds: for advice, whether the claim was confirmed: "yes", "no" or "inconclusive".
        note: a remark that a reader needs to understand the figures.
        error: why there are no figures.
        dimensions: by name: time, memory, queries, rows, connections, bytes, requests.
    """

    suite: str
    name: str
    scenario: str
    experiment: str
    control: str
    claim: str = "time"
    benefit: str = ""
    source: str = ""
    holds: str = ""
    note: str = ""
    error: str = ""
    dimensions: dict[str, Dimension] = field(default_factory=dict)


def confidence_interval(values: list[float], alpha: float) -> tuple[float, float]:
    """Return the confidence interval of the median, from order statistics.

    It is exact for any distribution, so a few disturbed rounds do not move it.

    Args:
        values: one per round.
        alpha: probability that the interval misses the median, at most.

    Raises:
        ValueError: there are too few values for `alpha`.
    """
    ordered, n = sorted(values), len(values)
    # Twice the probability that a coin, tossed n times, shows heads at most `below` times.
    below, tail = 0, 0.0
    while (tail := tail + comb(n, below) / 2 ** (n - 1)) <= alpha:
        below += 1
    if not below:
        raise ValueError(f"{n} rounds are too few")
    return ordered[below - 1], ordered[n - below]


def fewest_samples(alpha: float) -> int:
    """Return the smallest number of samples for which `confidence_interval` exists."""
    return next(n for n in count(1) if 2 ** (1 - n) <= alpha)


def quotient(experiment: float, control: float) -> float:
    """Divide; something divided by nothing is infinite, nothing divided by nothing is 1."""
    if control:
        return experiment / control
    return math.inf if experiment else 1.0


def judge(low: float, high: float) -> str:
    """Judge an interval of ratios; it must lie on one side of the smallest effect as a whole."""
    if high < 1 - SMALLEST_EFFECT:
        return "less"
    if low > 1 + SMALLEST_EFFECT:
        return "more"
    if low >= 1 - SMALLEST_EFFECT and high <= 1 + SMALLEST_EFFECT:
        return "no difference"
    return "inconclusive"


def interleave(
    experiment: Callable[[], float],
    control: Callable[[], float],
    *,
    alpha: float,
    seconds: float,
    tick: Callable[[float], None] = lambda share: None,
) -> Dimension:
    """Alternate between both sides until the result is decided or the time is over.

    The interval is checked after each round, which makes its error slightly larger than `alpha`.
    Verdicts are affected less: they need the whole interval on one side of the smallest effect.

    Args:
        experiment: runs one batch and returns seconds per run.
        control: the same for the control.
        alpha: probability that the interval misses the median, at most.
        seconds: no further round begins after this time.
        tick: called after each round with the share of `seconds` that has passed, 0 to 1.
    """
    least = fewest_samples(alpha) + 2
    new: list[float] = []
    old: list[float] = []
    start = time.monotonic()
    while True:
        # The order alternates, so that effects of the first side (caches, heat) hit both alike.
        for side, samples in ((experiment, new), (control, old))[:: 1 if len(new) % 2 else -1]:
            samples.append(side())
        passed = (time.monotonic() - start) / seconds
        tick(min(passed, 1))
        if len(new) < least:
            continue
        found = Dimension.sampled("s", new, old, alpha)
        if passed >= 1 or found.decided:
            return found


def compare_variants(
    experiment: Variant,
    control: Variant,
    *,
    alpha: float,
    seconds: float,
    same: Callable[[Any], object] = lambda result: result,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[str, Dimension]:
    """Check that two variants in this process give the same result, then measure time and memory.

    Args:
        experiment: the variant under test.
        control: the variant that it is compared with.
        alpha: probability that an interval misses, already divided by the number of comparisons.
        seconds: time limit for all rounds.
        same: returns the part of a result that must be equal on both sides.
        tick: called with the share of `seconds` that has passed.

    Raises:
        WrongResponse: the results differ.
    """
    gc.collect()
    gc.freeze()  # so that the collection before each batch skips objects that already exist
    (new, new_peak), (old, old_peak) = (first_runs(side, same) for side in (experiment, control))
    if new != old:
        raise WrongResponse(f"{new!r:.200} is not {old!r:.200}")
    sides = [partial(batch, side, runs_per_batch(side)) for side in (experiment, control)]
    found = interleave(*sides, alpha=alpha, seconds=seconds, tick=tick)
    return {"time": found, "memory": Dimension.constant("B", new_peak, old_peak)}


def first_runs(variant: Variant, same: Callable[[Any], object]) -> tuple[object, float]:
    """Return the relevant part of the first result, and the peak memory of a later run in bytes."""
    with variant.context():
        result = same(variant.run())
        for _ in range(WARM_UP):  # objects that only these create are no cost of a later run
            variant.run()
        tracemalloc.start()
        try:
            variant.run()
            return result, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def runs_per_batch(variant: Variant) -> int:
    """Return how many runs take BATCH seconds."""
    number = 1
    while (taken := batch(variant, number) * number) < BATCH:
        number = max(number + 1, min(number * 10, int(number * 1.2 * BATCH / max(taken, 1e-9))))
    return number


def batch(variant: Variant, number: int) -> float:
    """Return the seconds per run, averaged over `number` runs after WARM_UP others."""
    with variant.context():
        for _ in range(WARM_UP):
            variant.run()
        gc.collect()  # otherwise the time of one side may include collecting the other's garbage
        start = time.perf_counter()
        for _ in range(number):
            variant.run()
        return (time.perf_counter() - start) / number
