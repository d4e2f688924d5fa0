"""The results as an SVG: a bar for each ratio, its spread, and where the target is. Pure."""
import math
from html import escape

from .forms import CASES
from .stats import factor

COLOURS = {"bare C": "#3b6ea5", "QEMU": "#c0652b", "kvmtool": "#4f8a4c", "bare C, coalesced": "#7d9cc0", "bare C, CPUID": "#5a86b5",
           "bare C, alike": "#6f93c4", "futex": "#8a6aa0"}
OTHER = "#777777"
LEFT, RIGHT, TOP, LINE, WIDTH = 330, 210, 92, 20, 1060
FONT = 'font-family="DejaVu Sans, Verdana, sans-serif"'


def bars_of(rows):
    """(case, label, baseline, ratio, target or None, met) of each ratio, in the order of the rows."""
    for row in rows:
        if not row.measured() or row.no_ratio:
            continue
        for baseline in row.baselines():
            target = next((target for target in row.targets if target.baseline == baseline), None)
            arrow = "↑" if row.more_is_better else "↓"
            yield row.case, f"{row.name} {arrow}", baseline, row.ratio(baseline), target, target and row.verdict(target)


class Axis:
    """Logarithmic: half as much and twice as much are equally far from one."""

    def __init__(self, values):
        self.low = min(0.5, min(values, default=1)) / 1.1
        self.high = max(2.0, max(values, default=1)) * 1.1

    def x(self, value):
        share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [step * 10.0**decade for decade in decades for step in (1, 2, 5) if self.low <= step * 10.0**decade <= self.high]


def text(x, y, words, size=12, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {FONT} {more}>{escape(words)}</text>'


def bar(axis, y, ratio, target, met, colour):
    one, at = axis.x(1), axis.x(ratio.median)
    low, high = axis.x(ratio.low), axis.x(ratio.high)
    middle = y + LINE / 2
    yield f'<rect x="{min(one, at):.1f}" y="{y + 4}" width="{max(abs(at - one), 1):.1f}" height="{LINE - 8}" fill="{colour}"/>'
    yield (f'<path d="M{low:.1f} {middle} H{high:.1f} M{low:.1f} {y + 6} v{LINE - 12} M{high:.1f} {y + 6} v{LINE - 12}" '
           'stroke="black" stroke-width="1" fill="none"/>')
    words = f"{factor(ratio.median)}"
    if target:
        x = axis.x(target.limit)
        yield f'<path d="M{x:.1f} {y + 1} v{LINE - 2}" stroke="#b00020" stroke-width="2" stroke-dasharray="3 2" fill="none"/>'
        words += f", target {target.limit:g} {'met' if met else 'missed'}"
    yield text(WIDTH - RIGHT + 12, y + 14, words, more='fill="#b00020"' if target and not met else "")


def svg(rows, host):
    bars = list(bars_of(rows))
    axis = Axis([value for *_, ratio, target, _ in bars
                 for value in (ratio.low, ratio.high, *([target.limit] if target else []))])
    body, y, case, label = [], TOP, None, None
    for this_case, this_label, baseline, ratio, target, met in bars:
        if this_case != case:
            y += 12
            body.append(text(14, y + 14, f"{this_case}. {CASES[this_case]}", 13, more='font-weight="bold"'))
            y += LINE + 2
            case, label = this_case, None
        if this_label != label:
            body.append(text(24, y + 14, this_label))
            label = this_label
        body += bar(axis, y, ratio, target, met, COLOURS.get(baseline, OTHER))
        y += LINE
    bottom = y + 8
    grid = [f'<path d="M{axis.x(tick):.1f} {TOP} V{bottom}" stroke="{"#000" if tick == 1 else "#ddd"}" fill="none"/>'
            + text(axis.x(tick), bottom + 16, f"{tick:g}", 11, "middle") for tick in axis.ticks()]
    head = [text(14, 26, "asyncvm: ratios to baselines of the same run", 17, more='font-weight="bold"'),
            text(14, 46, ", ".join(str(host[key]) for key in ("date", "host", "KVM", "processor") if host.get(key))),
            text(14, 64, "Bars begin at 1, where both are equal. ↓ less is better, ↑ more is better. "
                         "Whiskers: quartiles of the rounds. Dashed: target.", 11)]
    x = 14.0
    for name in dict.fromkeys(baseline for _, _, baseline, *_ in bars):
        head.append(f'<rect x="{x:.1f}" y="73" width="12" height="12" fill="{COLOURS.get(name, OTHER)}"/>')
        head.append(text(x + 17, 83, f"to {name}", 11))
        x += 50 + 7 * len(name)
    height = bottom + 28
    size = f'width="{WIDTH}" height="{height}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}">',
                      f'<rect {size} fill="white"/>', *head, *grid, *body, "</svg>", ""])
