"""What was measured, as a page of Markdown."""

import time

from .results import STATE_NAMES, STATES, Cell

NAMES = {"ssh": "ssh", "stead": "Stead", "mitogen": "Mitogen", "pyinfra": "pyinfra", "ansible": "Ansible"}
MEGA = 1_000_000
# Each with what is divided by what, and whether the quotient should be at most or at least so much.
BARS = (
    ("100 tasks, nothing to change, 80 ms, 1 node", Cell(80, 1, 100, "none"), "stead", "ssh", "at most", 1.3),
    ("500 tasks, nothing to change, 80 ms, 1 node", Cell(80, 1, 500, "none"), "stead", "ssh", "at most", 1.5),
    ("100 tasks, everything to change, 80 ms, 1 node", Cell(80, 1, 100, "cold"), "stead", "ssh", "at most", 3.0),
    ("100 tasks, nothing to change, 0 ms, 10 nodes", Cell(0, 10, 100, "none"), "ansible", "stead", "at least", 30.0),
    ("100 tasks, nothing to change, 0 ms, 10 nodes", Cell(0, 10, 100, "none"), "mitogen", "stead", "at least", 10.0),
)
# The line over which what hardly depends on it is shown, in milliseconds.
SHOWN = 80


def seconds(value):
    """A time, to three digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(value):
    """A quotient, to three digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def size(value):
    """A number of bytes."""
    return f"{value / 1000:.0f} kB" if value < MEGA else f"{value / MEGA:.1f} MB"


def table(head, rows):
    """A table of Markdown's; all columns but the first are numbers."""
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def verdict(measured, word, bar):
    """Whether a bar is met."""
    met = measured <= bar if word == "at most" else measured >= bar
    return "met" if met else "**missed**"


def bars(results):
    """The bars, and what was measured of them."""
    for what, cell, over, under, word, bar in BARS:
        top, bottom = results.median(cell, over), results.median(cell, under)
        row = [f"{what}: {NAMES[over]} ÷ {NAMES[under]}", f"{word} {bar:g}"]
        if top is None or bottom is None:
            yield [*row, "not measured", ""]
        else:
            yield [*row, times(top / bottom), verdict(top / bottom, word, bar)]
    if agent := results.last("agent"):
        yield ["node agent on disk", "under 5 MB", size(agent["size"]), verdict(agent["size"], "at most", 5 * MEGA)]
        memory = f"node agent's memory at its peak, {agent['tasks']} tasks"
        yield [memory, "under 30 MB", size(agent["memory"]), verdict(agent["memory"], "at most", 30 * MEGA)]
        check = f"node agent checks {agent['tasks']} tasks"
        took = agent["check"]["all"]
        yield [check, "under 50 ms", f"{took * 1000:.1f} ms", verdict(took, "at most", 0.05)]


class Page:
    """The page of one file of results."""

    def __init__(self, results, plot):
        self.results, self.plot = results, plot
        self.cells = results.cells()
        self.tools = [name for name in NAMES if name in results.builds]
        self.rounds = results.last("session")["rounds"]

    def text(self):
        """The whole page."""
        return "\n".join(self._lines()).rstrip() + "\n"

    def _lines(self):
        session = self.results.last("session")
        versions = {}
        for record in self.results.records:
            if record["kind"] == "session":
                versions |= record["versions"]
        days = [run["at"] for run in self.results.records if run["kind"] == "run"]
        yield "# Converging, compared"
        yield ""
        yield "Written by [benches/converge](../benches/converge/README.md), which says how and why so. Do not edit."
        yield ""
        first, last = (time.strftime("%Y-%m-%d", time.gmtime(day)) for day in (min(days), max(days)))
        yield f"- Measured: {first if first == last else f'{first} to {last}'}, at {session['commit']}"
        yield f"- Machine: {session['machine']}; nodes and controller share it"
        yield "- Versions: " + ", ".join(f"{NAMES[name]} {versions[name]}" for name in self.tools if name in versions)
        if note := session["note"]:
            yield f"- Note: {note}"
        yield ""
        if self.plot:
            yield f"![Wall time by round trip and by number of tasks]({self.plot})"
            yield ""
        yield "## Bars"
        yield ""
        yield from table(["figure", "bar", "measured", ""], bars(self.results))
        if agent := self.results.last("agent"):
            parts = (
                f"{count} {'directories' if kind == 'directory' else kind + 's'} {agent['check'][kind] * 1000:.1f} ms"
                for kind, count in agent["checked"].items()
                if kind != "all"
            )
            yield f"The agent is spoken to on the node itself. Checked by themselves: {', '.join(parts)}."
            yield f"From its start to its greeting: {agent['start'] * 1000:.1f} ms."
            yield ""
        yield "## Wall time"
        yield ""
        yield (
            f"In seconds, the median of {self.rounds}; where it is of fewer runs, their number stands in parentheses. "
            "`ssh` is a fresh login that runs `true`, on every node at once: the floor. In the columns ÷, Stead's time "
            "is divided by the floor, and a peer's by Stead's."
        )
        yield ""
        for nodes, state in self._groups():
            yield f"### {nodes} node{'s' * (nodes > 1)}, {STATE_NAMES[state]}"
            yield ""
            yield from table(
                self._head(), (self._row(cell) for cell in self.cells if (cell.nodes, cell.state) == (nodes, state))
            )
        yield "## What it costs the controller"
        yield ""
        yield (
            "Processor time of the tool and all that it started; the most memory that these held together; bytes of IP "
            "packets to the nodes and from them. Medians."
        )
        yield ""
        for nodes, state in self._groups():
            cells = [cell for cell in self.cells if (cell.nodes, cell.state) == (nodes, state)]
            shown = SHOWN if any(cell.round_trip == SHOWN for cell in cells) else cells[0].round_trip
            yield f"### {nodes} node{'s' * (nodes > 1)}, {STATE_NAMES[state]}, {shown} ms"
            yield ""
            head = ["tasks"] + [NAMES[tool] for tool in self.tools]
            rows = (
                [str(cell.tasks)] + [self._costs(cell, tool) for tool in self.tools]
                for cell in cells
                if cell.round_trip == shown
            )
            yield from table(head, rows)
        runs = [run for cell in self.cells for tool in self.tools for run in self.results.runs(cell, tool)]
        if mistakes := [run for run in runs if run["mistake"]]:
            yield "## Runs that did not count"
            yield ""
            for run in mistakes:
                cell = Cell(run["round_trip"], run["nodes"], run["tasks"])
                yield f"- {NAMES[run['tool']]}, {cell}, {STATE_NAMES[run['state']]}: {run['mistake']}"

    def _groups(self):
        groups = {(cell.nodes, cell.state) for cell in self.cells}
        return sorted(groups, key=lambda group: (group[0], STATES.index(group[1])))

    def _head(self):
        head = ["round trip", "tasks", "ping"]
        for tool in self.tools:
            head += [NAMES[tool]] if tool == "ssh" else [NAMES[tool], "÷"]
        return head

    def _row(self, cell):
        runs = [run for tool in self.tools for run in self.results.runs(cell, tool)]
        ping = sum(run["ping"] for run in runs) / len(runs)
        row = [f"{cell.round_trip} ms", str(cell.tasks), f"{ping:.1f} ms"]
        for tool in self.tools:
            mine = self.results.median(cell, tool)
            row.append("–" if mine is None else seconds(mine) + self._how_often(cell, tool))
            if tool != "ssh":
                other = self.results.median(cell, "ssh" if tool == "stead" else "stead")
                row.append(times(mine / other) if mine and other else "")
        return row

    def _how_often(self, cell, tool):
        count = sum(not run["mistake"] for run in self.results.runs(cell, tool))
        return "" if count >= self.rounds else f" ({count})"

    def _costs(self, cell, tool):
        cpu, memory, sent, received = (
            self.results.median(cell, tool, figure) for figure in ("cpu", "memory", "sent", "received")
        )
        return "–" if cpu is None else f"{seconds(cpu)} s, {size(memory)}, {size(sent)} + {size(received)}"
