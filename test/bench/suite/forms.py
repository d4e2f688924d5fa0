"""The same results as a table for a terminal, and as JSON. Pure."""
from .stats import Row, Target, factor, quantity

CASES = {
    1: "Round trip of an access that is answered at once",
    2: "OUT to a device on the device loop",
    3: "Writes that need no answer",
    4: "A serial port, end to end",
    5: "Start, end and memory",
    6: "Scale",
    7: "A Linux boots to its first process",
    8: "A virtio disk",
    9: "A virtio console and a virtio network card",
    10: "A debugger",
}


def target_words(row, target):
    sign = "≥" if row.more_is_better else "≤"
    limit = quantity(target.limit, row.unit) if target.baseline is None else f"{target.limit:g}"
    verdict = {True: "met", False: "missed", None: "not known"}[row.verdict(target)]
    return f"{sign} {limit}: {verdict}"


def lines_of(row):
    """Cells of the lines of one row: name, ours, baseline, its value, ratio, spread, target."""
    if not row.measured():
        return [[row.name, "not measured", row.absent.get(row.OURS, ""), "", "", "", ""]]
    own = [target_words(row, target) for target in row.targets if target.baseline is None]
    value = row.value(row.OURS)
    spread = f"{quantity(value.low, row.unit)} – {quantity(value.high, row.unit)}"
    lines = [[row.name, quantity(value.median, row.unit), "", "", "", spread, ", ".join(own)]]
    for baseline in row.baselines():
        words = [target_words(row, target) for target in row.targets if target.baseline == baseline]
        theirs = quantity(row.value(baseline).median, row.unit)
        ratio = row.ratio(baseline)
        shown = ["", ""] if row.no_ratio else [factor(ratio.median), f"{factor(ratio.low)} – {factor(ratio.high)}"]
        lines.append(["", "", baseline, theirs, *shown, ", ".join(words)])
    for baseline, why in row.absent.items():
        lines.append(["", "", baseline, f"({why})", "", "", ""])
    # A row with one baseline fits in one line.
    if len(lines) == 2 and not row.absent and not own:
        lines = [[lines[0][0], lines[0][1], *lines[1][2:]]]
    return lines


HEADINGS = ["", "asyncvm", "baseline", "", "ratio", "spread", "target"]


def table(rows, host):
    """Several lines: what and where, and a block for each case."""
    blocks = {case: [cells for row in rows if row.case == case for cells in lines_of(row)] for case in CASES}
    everything = [HEADINGS, *(cells for block in blocks.values() for cells in block)]
    # A reason is longer than a value, and nothing follows it.
    shown = [cells for cells in everything if cells[1] != "not measured"]
    widths = [max(len(cells[column]) for cells in shown if not cells[column].startswith("(")) for column in range(len(HEADINGS))]
    text = [f"{key}: {value}" for key, value in host.items()]
    text += ["", "  ".join(cell.ljust(width) for cell, width in zip(HEADINGS, widths)).rstrip()]
    for case, block in blocks.items():
        if block:
            text += ["", f"{case}. {CASES[case]}"]
            text += ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in block]
    return "\n".join(text)


def as_dict(summary):
    return {"median": summary.median, "low": summary.low, "high": summary.high}


def json_row(row):
    subjects = {name: {**as_dict(row.value(name)), "samples": values} for name, values in row.samples.items() if values}
    for name in row.baselines() if row.measured() else []:
        subjects[name]["ratio"] = as_dict(row.ratio(name))
    return {
        "case": row.case, "name": row.name, "unit": row.unit, "better": "more" if row.more_is_better else "less",
        "subjects": subjects, "absent": row.absent, "no_ratio": row.no_ratio, "optional": row.optional,
        "targets": [{"baseline": target.baseline, "limit": target.limit, "met": row.verdict(target)} for target in row.targets],
    }


def row_of(made):
    """The row that json_row() was given."""
    samples = {name: [] for name in made["absent"]} | {name: subject["samples"] for name, subject in made["subjects"].items()}
    return Row(made["case"], made["name"], made["unit"], made["better"] == "more",
               [Target(target["limit"], target["baseline"]) for target in made["targets"]], samples, made["absent"],
               made["no_ratio"], made["optional"])


def document(rows, host):
    """For json.dump: spreads are quartiles, ratios are ours by theirs in the same round."""
    return {"format": 1, "host": host, "cases": CASES, "rows": [json_row(row) for row in rows]}
