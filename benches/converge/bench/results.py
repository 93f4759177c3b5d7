"""What was measured, one JSON document a line, so that a run that was stopped is gone on with and files are merged by
putting them one after the other."""

import json
import os
import statistics
from dataclasses import dataclass

STATES = ("cold", "none", "one")
STATE_NAMES = {"cold": "everything to change", "none": "nothing to change", "one": "one task to change"}


@dataclass(frozen=True, order=True)
class Cell:
    """What is measured under one set of conditions."""

    round_trip: int
    nodes: int
    tasks: int
    state: str = ""

    @classmethod
    def parse(cls, text):
        """From `RTTxNODESxTASKS`."""
        return cls(*map(int, text.split("x")))

    def __str__(self):
        return f"{self.round_trip} ms, {self.nodes} node{'s' * (self.nodes > 1)}, {self.tasks} tasks"


class Results:
    """The records of one file, and those that this run adds to it."""

    def __init__(self, path):
        self.path = path
        self.records = []
        # The runs of each cell and tool, of all builds.
        self._runs = {}
        # The newest build of each tool.
        self.builds = {}
        if os.path.exists(path):
            with open(path) as file:
                for line in filter(str.strip, file):
                    self._take(json.loads(line))

    def _take(self, record):
        self.records.append(record)
        if record["kind"] == "run":
            cell = Cell(record["round_trip"], record["nodes"], record["tasks"], record["state"])
            self._runs.setdefault((cell, record["tool"]), []).append(record)
            self.builds[record["tool"]] = record["build"]

    def add(self, kind, **fields):
        """Adds a record, and sees to it that it is on the disk: rounds may take an hour."""
        record = {"kind": kind, **fields}
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(record)

    def last(self, kind):
        """The newest record of a kind."""
        return next((record for record in reversed(self.records) if record["kind"] == kind), None)

    def runs(self, cell, tool, build=None):
        """The runs of one tool in a cell, by default of the build that was measured last.

        Another version is another tool: its figures are kept in the file, and not mixed with the newer one's.
        """
        build = build or self.builds.get(tool)
        return [run for run in self._runs.get((cell, tool), ()) if run["build"] == build]

    def median(self, cell, tool, figure="wall"):
        """The median of a figure over all runs of a cell that succeeded, if there are any."""
        values = [run[figure] for run in self.runs(cell, tool) if not run["mistake"]]
        return statistics.median(values) if values else None

    def cells(self):
        """All cells that have runs of the newest builds."""
        return sorted({cell for cell, tool in self._runs if self.runs(cell, tool)})
