"""From results/*.json to one page: a table and plots (SVG), newest figures of
each bench."""

import glob
import json
import os
import statistics


def summary(figure):
    """Per peer (median, min, max), and the ratio redis/nqdb in the direction
    in which more is better for us, taken round by round."""
    v = figure["values"]
    out = {p: (statistics.median(x), min(x), max(x)) for p, x in v.items()}
    ratio = None
    if "redis" in v and "nqdb" in v:
        pairs = list(zip(v["redis"], v["nqdb"]))
        if figure["better"] == "lower":
            r = [a / b for a, b in pairs if b]
        else:
            r = [b / a for a, b in pairs if a]
        ratio = (statistics.median(r), min(r), max(r)) if r else None
    return out, ratio


def cell(t, unit=""):
    def f(x):
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
    return f"{f(t[0])} ({f(t[1])}..{f(t[2])}){unit}" if t else "-"


def table(result):
    rows = ["| figure | unit | redis | nqdb | nqdb is better by |",
            "|---|---|---|---|---|"]
    for name, fig in result["figures"].items():
        s, ratio = summary(fig)
        rows.append(f"| {name} | {fig['unit']} | {cell(s.get('redis'))} | "
                    f"{cell(s.get('nqdb'))} | {cell(ratio, 'x')} |")
    return "\n".join(rows)


def plot(result, path):
    """Horizontal bars of the ratios, a line at 1."""
    rows = [(n, summary(f)[1]) for n, f in result["figures"].items()]
    rows = [(n, r) for n, r in rows if r]
    if not rows:
        return False
    top = max(min(r[2], 12) for _, r in rows) * 1.1
    left, width, h = 330, 520, 20

    def x(v):
        return left + width * min(v, top) / top

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}"'
           f' height="{h * len(rows) + 40}" font-family="sans-serif" '
           'font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for i, (name, r) in enumerate(rows):
        y = 10 + i * h
        color = "#2f7d4f" if r[0] >= 1 else "#b5523b"
        out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">'
                   f'{name}</text><rect x="{left}" y="{y + 3}" '
                   f'width="{x(r[0]) - left:.1f}" height="{h - 7}" '
                   f'fill="{color}"/><line x1="{x(r[1]):.1f}" '
                   f'x2="{x(r[2]):.1f}" y1="{y + 9.5}" y2="{y + 9.5}" '
                   f'stroke="black"/><text x="{x(max(r[0], r[2])) + 6:.1f}" '
                   f'y="{y + 13}">{r[0]:.2f}x</text>')
    base = 10 + h * len(rows)
    out.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="6" y2="{base}" '
               'stroke="black" stroke-dasharray="3 3"/>'
               f'<text x="{x(1):.1f}" y="{base + 16}" text-anchor="middle">'
               'as redis</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(out))
    return True


def write_page(folder):
    newest = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path) as f:
            result = json.load(f)
        for name, fig in result["figures"].items():
            newest[name] = (path, fig, result)
    by_file = {}
    for name, (path, fig, result) in newest.items():
        by_file.setdefault(path, (result, {}))[1][name] = fig
    page = ["# Measured beside redis-server", "",
            "Made by `make bench`; newest run of each figure. Median (min..max)"
            " over the rounds; the last column is the ratio taken round by"
            " round, above 1 where nqdb is better.", ""]
    for path in sorted(by_file):
        result, figures = by_file[path]
        result = {**result, "figures": figures}
        m, stem = result["machine"], os.path.basename(path)[:-5]
        page += [f"## {m['date']} UTC, commit {m['commit']}", "",
                 f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, redis "
                 f"{m['redis']}, {result['rounds']} rounds"
                 f"{', a tenth of the work' if result['quick'] else ''}.", ""]
        if plot(result, os.path.join(folder, stem + ".svg")):
            page += [f"![ratios]({stem}.svg)", ""]
        page += [table(result), ""]
    with open(os.path.join(folder, "README.md"), "w") as f:
        f.write("\n".join(page))
