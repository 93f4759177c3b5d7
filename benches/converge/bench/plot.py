"""What was measured, as a picture: small panels, one line for each tool, times on a logarithmic scale."""

import math
from html import escape

from .results import STATE_NAMES, STATES, Cell

COLOURS = {"ssh": "#6b7280", "stead": "#0f766e", "mitogen": "#b45309", "pyinfra": "#1d4ed8", "ansible": "#b91c1c"}
NAMES = {"ssh": "ssh … true", "stead": "Stead", "mitogen": "Mitogen", "pyinfra": "pyinfra", "ansible": "Ansible"}
WIDTH, HEIGHT = 300, 210
LEFT, TOP, GAP = 56, 64, 44
TASKS, ROUND_TRIP = 100, 80


def panels(cells):
    """The rows of panels: a title, the name of the axis, and what each point is measured in."""
    trips = sorted({cell.round_trip for cell in cells})
    counts = sorted({cell.tasks for cell in cells})
    tasks = TASKS if TASKS in counts else counts[-1]
    trip = ROUND_TRIP if ROUND_TRIP in trips else trips[-1]
    for nodes in sorted({cell.nodes for cell in cells}):
        many = f"{nodes} node{'s' * (nodes > 1)}"
        if len(trips) > 1:
            yield f"{many}, {tasks} tasks", "round trip, ms", [(x, Cell(x, nodes, tasks)) for x in trips]
        if len(counts) > 1:
            yield f"{many}, {trip} ms", "tasks", [(x, Cell(trip, nodes, x)) for x in counts]


def lines(results, points, state):
    """Each tool's points in one panel, as (position, seconds)."""
    for tool in COLOURS:
        found = []
        for at, (_, cell) in enumerate(points):
            seconds = results.median(Cell(cell.round_trip, cell.nodes, cell.tasks, state), tool)
            if seconds is not None:
                found.append((at, seconds))
        if found:
            yield tool, found


def text(x, y, words, size=11, anchor="middle", colour="#374151", weight="normal"):
    """Words in the picture."""
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def panel(left, top, title, axis, points, drawn, low, high):
    """One panel; `low` and `high` are powers of ten."""

    def x_of(at):
        return left + WIDTH * (at + 0.5) / len(points)

    def y_of(seconds):
        return top + HEIGHT * (1 - (math.log10(seconds) - low) / (high - low))

    yield text(left + WIDTH / 2, top - 10, title, size=12, weight="bold")
    for power in range(low, high + 1):
        y = y_of(10**power)
        yield f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
        yield text(left - 5, y + 4, f"{10**power:g} s", anchor="end")
    for at, (x, _) in enumerate(points):
        yield text(x_of(at), top + HEIGHT + 15, str(x))
    yield text(left + WIDTH / 2, top + HEIGHT + 30, axis)
    for tool, found in drawn:
        path = " ".join(f"{x_of(at):.1f},{y_of(seconds):.1f}" for at, seconds in found)
        dash = ' stroke-dasharray="4 3"' if tool == "ssh" else ""
        yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[tool]}" stroke-width="2"{dash}/>'
        for at, seconds in found:
            yield f'<circle cx="{x_of(at):.1f}" cy="{y_of(seconds):.1f}" r="3" fill="{COLOURS[tool]}"/>'


def draw(results):
    """The picture, or nothing where no line has two points."""
    cells = results.cells()
    states = [state for state in STATES if any(cell.state == state for cell in cells)]
    rows = list(panels(cells))
    if not rows:
        return None
    drawn = {
        (row, state): list(lines(results, points, state)) for row, (_, _, points) in enumerate(rows) for state in states
    }
    times = [seconds for found in drawn.values() for _, line in found for _, seconds in line]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    width = len(states) * (WIDTH + LEFT + 14) + 10
    height = TOP + len(rows) * (HEIGHT + GAP + 30)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" role="img">',
        "<title>Wall time of converging, by tool</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    shown = [tool for tool in COLOURS if any(tool == name for found in drawn.values() for name, _ in found)]
    for at, tool in enumerate(shown):
        x = LEFT + at * 110
        out.append(f'<line x1="{x}" x2="{x + 22}" y1="18" y2="18" stroke="{COLOURS[tool]}" stroke-width="3"/>')
        out.append(text(x + 28, 22, NAMES[tool], size=12, anchor="start"))
    for (row, state), found in drawn.items():
        title, axis, points = rows[row]
        left = LEFT + states.index(state) * (WIDTH + LEFT + 14)
        top = TOP + row * (HEIGHT + GAP + 30)
        out.extend(panel(left, top, f"{title}, {STATE_NAMES[state]}", axis, points, found, low, max(high, low + 1)))
    return "\n".join([*out, "</svg>"]) + "\n"
