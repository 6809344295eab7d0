"""Bars as SVG, for the README: shorter is better."""
from xml.sax.saxutils import escape

WIDTH, BAR, GAP, LEFT, RIGHT = 720, 18, 6, 150, 150
COLOURS = {"larder": "#b4530a", "limit": "#9aa0a6"}


def bars(groups):
    """groups: [(title, {name: value}, unit)]"""
    y, out = 10, []
    for title, values, unit in groups:
        out.append(f'<text x="10" y="{y + 14}" class="t">{escape(title)}</text>')
        y += 26
        most = max(values.values()) or 1
        for name, value in values.items():
            w = max(2, (WIDTH - LEFT - RIGHT) * value / most)
            out.append(
                f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{w:.1f}" height="{BAR}" rx="2" '
                f'fill="{COLOURS.get(name, "#5f7f9f")}"/>'
                f'<text x="{LEFT + w + 6:.1f}" y="{y + 14}">{value:.3g} {escape(unit)}</text>')
            y += BAR + GAP
        y += 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
            f'width="{WIDTH}" height="{y}" role="img">\n'
            "<style>text{font:13px sans-serif;fill:#333}.t{font-weight:bold}"
            "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>\n"
            + "\n".join(out) + "\n</svg>\n")
