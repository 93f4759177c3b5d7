"""The rounds: every tool in every state, one after the other, on the same nodes."""

import json
import os
import subprocess
import sys
import time

from .results import Cell
from .shell import Failed


class Bench:
    """All that a run needs: nodes, line, tools, and where results go."""

    def __init__(self, fleet, line, tools, builds, results, options):
        self.fleet, self.line, self.tools, self.builds = fleet, line, tools, builds
        self.results, self.options = results, options
        self.failed = 0
        self.log = options.log
        os.makedirs(self.log, exist_ok=True)

    def warm_up(self, nodes, count):
        """Runs every tool once, unmeasured: caches are warm then, programs where they belong, and every tool works."""
        for tool in self.tools:
            for node in self.fleet.nodes[:nodes]:
                node.reset(count)
            figures = self._run(tool, nodes, count)
            if mistake := self._mistake(tool, Cell(0, nodes, count, "cold"), figures):
                raise Failed(f"{tool.name} does not work: {mistake}")
            say(f"{tool.name:8} works ({figures['wall']:.1f} s)")

    def measure(self, cells, states):
        """Measures the cells, round by round."""
        for cell in cells:
            self.line.allow()
            self.line.set_round_trip(cell.round_trip)
            nodes = self.fleet.nodes[: cell.nodes]
            measured = self.line.round_trip([node.address for node in nodes], cell.round_trip)
            say(f"{cell} (ping: {measured:.2f} ms)")
            for turn in range(self.options.rounds):
                # Another one begins each time, so that whatever one leaves to the next does not always meet the same.
                first = turn % len(self.tools)
                for tool in self.tools[first:] + self.tools[:first]:
                    for state in states:
                        self._turn(tool, Cell(cell.round_trip, cell.nodes, cell.tasks, state), turn, measured)

    def _turn(self, tool, cell, turn, measured):
        done = [run for run in self.results.runs(cell, tool.name, self.builds[tool.name]) if not run["mistake"]]
        if len(done) > turn or sum(run["wall"] for run in done) > self.options.budget:
            return
        nodes = self.fleet.nodes[: cell.nodes]
        for node in nodes:
            if not tool.converges:
                continue
            if cell.state == "cold":
                node.reset(cell.tasks)
                continue
            if node.wrong(cell.tasks):
                node.fill(cell.tasks)
            if cell.state == "one":
                node.drift(cell.tasks)
        self.fleet.settle()
        self.line.allow()
        before = self.line.count()
        figures = self._run(tool, cell.nodes, cell.tasks)
        self.line.settle(cell.round_trip)
        after = self.line.count()
        mistake = self._mistake(tool, cell, figures)
        self.failed += bool(mistake)
        figures |= {"sent": after[0] - before[0], "received": after[1] - before[1], "mistake": mistake}
        place = {"tool": tool.name, "build": self.builds[tool.name], "ping": measured, "at": int(time.time())}
        self.results.add("run", **vars(cell), **place, **figures)
        say(f"  {turn + 1}/{self.options.rounds} {tool.name:8} {cell.state:5}{figures['wall']:9.3f} s  {mistake}")

    def _run(self, tool, nodes, count):
        """Runs a tool in the controller's namespace, and gives what it cost."""
        tool.before()
        report, out = f"{self.log}/report.json", f"{self.log}/{tool.name}.out"
        inside = ("ip", "netns", "exec", self.line.namespace)
        meter = (sys.executable, f"{os.path.dirname(__file__)}/measure.py", report, out, str(self.options.limit))
        command = (*inside, *meter, *tool.command(nodes, count))
        # In a session of its own: at Ctrl-C it is told by us, once, and ends what it measures.
        meter = subprocess.Popen(
            command, env=tool.environment(), cwd=tool.dir, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            if status := meter.wait():
                raise Failed(f"measuring {tool.name} exited with {status}")
        finally:
            meter.terminate()
            meter.wait()
        with open(report) as file:
            figures = json.load(file)
        os.unlink(report)
        with open(out, errors="replace") as file:
            return figures | {"said": file.read()}

    def _mistake(self, tool, cell, figures):
        """Why a run does not count, in words; empty where it does. Takes the output out of the figures."""
        said = figures.pop("said")
        if figures.pop("late"):
            return f"took longer than {self.options.limit} s"
        if status := figures.pop("status"):
            return f"exited with {status}: {' | '.join(said.strip().splitlines()[-3:])[-300:]}"
        if not tool.converges:
            return ""
        wanted = {"cold": cell.tasks, "none": 0, "one": 1}[cell.state] * cell.nodes
        try:
            changed = tool.changed(said)
        except (Failed, ValueError, KeyError, IndexError, TypeError) as error:
            return f"its account cannot be read: {error}"
        if changed != wanted:
            return f"says it changed {changed} tasks in place of {wanted}"
        for node in self.fleet.nodes[: cell.nodes]:
            if wrong := node.wrong(cell.tasks):
                return f"left {len(wrong)} tasks undone on {node.address}, {wrong[0]} first"
        return ""


def say(text):
    """A line for whoever watches."""
    print(text, file=sys.stderr, flush=True)
