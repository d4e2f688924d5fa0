"""Medians, spreads, and ratios of what was measured in pairs. Pure."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Summary:
    """The median of some values, and the quartiles around it as their spread."""
    median: float
    low: float
    high: float


def quantile(values, share):
    """`share` from 0 to 1; between two values it is interpolated. `values` must not be empty."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def summary(values):
    return Summary(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75))


@dataclass
class Target:
    """What a row should reach: its ratio to a baseline, or with no baseline its own value."""
    limit: float
    baseline: str | None = None


@dataclass
class Row:
    """One measurement: a list of values for each subject, the n-th of each from the same round."""
    case: int
    name: str
    unit: str           # "ns", "B", "/s", "B/s", "instr"
    more_is_better: bool = False
    targets: list = field(default_factory=list)
    samples: dict = field(default_factory=dict)
    absent: dict = field(default_factory=dict)  # subject: why it was not measured
    no_ratio: bool = False  # the baselines only show the order of magnitude
    optional: bool = False  # that it was not measured is no failure

    OURS = "asyncvm"

    def measured(self):
        return bool(self.samples.get(self.OURS))

    def value(self, subject):
        return summary(self.samples[subject])

    def baselines(self):
        """Those that a ratio can be to: of zero there is none."""
        return [name for name in self.samples if name != self.OURS and any(self.samples[name])]

    def ratio(self, baseline):
        """Ours by theirs, round by round."""
        pairs = zip(self.samples[self.OURS], self.samples[baseline])
        return summary([ours / theirs for ours, theirs in pairs if theirs])

    def verdict(self, target):
        """True, False, or None where it can't be told."""
        if not self.measured() or (target.baseline is not None and target.baseline not in self.baselines()):
            return None
        reached = (self.value(self.OURS) if target.baseline is None else self.ratio(target.baseline)).median
        return reached >= target.limit if self.more_is_better else reached <= target.limit


def left_out(case, name, unit, why):
    """A row that says why it is not measured here."""
    return Row(case, name, unit, absent={Row.OURS: why}, optional=True)


SCALES = {
    "exits": [(1, "exits")],
    "ns": [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")],
    "B": [(2**20, "MiB"), (2**10, "KiB"), (1, "B")],
    "/s": [(1e6, "M/s"), (1e3, "k/s"), (1, "/s")],
    "B/s": [(1e6, "MB/s"), (1e3, "kB/s"), (1, "B/s")],
    "instr": [(1, "instr")],
}


def quantity(value, unit):
    """Three digits and a unit: "8.83 µs"."""
    factor, name = next((scale for scale in SCALES[unit] if abs(value) >= scale[0]), SCALES[unit][-1])
    return f"{digits(value / factor)} {name}"


def digits(value):
    """Three of them, without an exponent."""
    if value == 0:
        return "0"
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{places}f}"


def factor(value):
    """A ratio: fine around one, where the targets are."""
    return f"{value:.3f}" if value < 2 else digits(value)
