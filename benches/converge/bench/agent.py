"""The node agent by itself: its size, its memory, and how long it takes to check a workload.

It is spoken to from inside the node, over a pipe, in the frames that a controller sends (src/wire/frame.rs): no SSH, no
line, nothing but the agent's own work.
"""

import glob
import json
import os
import re
import statistics
import struct
import subprocess
import time

from . import measure, workload
from .shell import Failed

TASKS = 500
CHECKS = 11
# What the plan's format and the frames' protocol are called in the source (src/wire).
VERSIONS = {"protocol": ("src/wire/mod.rs", "PROTOCOL"), "plan": ("src/wire/plan.rs", "PLAN_VERSION")}


def frame(message):
    """A message as one frame, not compressed."""
    body = b"\0" + json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def plan(count, version, kinds=workload.MIX):
    """The workload, or its tasks of some kinds, as a plan: as the controller compiles it."""
    steps = [
        {"task": {"id": number + 1, "name": workload.label(task), "action": {kind: fields}}}
        for number, (task, (kind, fields)) in enumerate(
            zip(workload.tasks(count), workload.actions(count), strict=True)
        )
        if kind in kinds
    ]
    return {"version": version, "plays": [{"name": f"bench-{count}", "steps": steps}]}


class Session:
    """A session with the agent on a node. To be used in a `with`."""

    def __init__(self, node, program, protocol):
        with open(node.at("/etc/stead/node.json")) as file:
            record = json.load(file)
        # The highest that the node has seen: a higher one would keep the fleet's own controller out.
        with open(node.at("/var/lib/stead/fence")) as file:
            fence = int(re.search(r"\d+", file.read())[0])
        self.hello = {"protocol": protocol, "version": "bench", "fence": fence}
        self.hello |= {key: record[key] for key in ("fleet", "node")}
        self.command = node.enter(program, "session")

    def __enter__(self):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.send(self.hello)
        welcome = self.receive()
        if welcome.get("is") == "refused":
            raise Failed(f"the node agent refuses the session: {welcome['message']}")
        self.started = time.monotonic() - self.begun
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def send(self, message):
        """Sends one frame."""
        self.process.stdin.write(frame(message))
        self.process.stdin.flush()

    def receive(self):
        """The next message; frames that are compressed are none of those that we wait for, and come as {}."""
        header = self.process.stdout.read(4)
        if len(header) < 4:
            raise Failed("the node agent ended")
        body = self.process.stdout.read(struct.unpack(">I", header)[0])
        return json.loads(body[1:]) if body[0] == 0 else {}

    def check(self, of):
        """Has the agent check a plan; gives how long that took, in seconds, and how many tasks would change."""
        begun = time.monotonic()
        self.send({"do": "apply", "plan": of, "options": {"check": True}})
        while True:
            reply = self.receive()
            if reply.get("is") == "applied":
                return time.monotonic() - begun, reply["summary"]["changed"]
            if reply.get("is") in ("failed", "refused"):
                raise Failed(f"the node agent: {reply['message']}")

    def memory(self):
        """The most memory that the agent has held so far, in bytes."""
        return max(map(measure.peak, measure.children(self.process.pid)))


def versions(source):
    """The versions that this tree's programs speak."""
    for name, (path, constant) in VERSIONS.items():
        with open(f"{source}/{path}") as file:
            yield name, int(re.search(rf"\b{constant}: u32 = (\d+);", file.read())[1])


def figures(node, source, program):
    """Measures the agent on a node whose workload is as it should be."""
    speaks = dict(versions(source))
    installed = f"/var/lib/stead/agents/{program}/stead-node"
    if not os.path.exists(node.at(installed)):
        there = [
            os.path.basename(os.path.dirname(path)) for path in glob.glob(node.at("/var/lib/stead/agents/*/stead-node"))
        ]
        raise Failed(f"the node has the agents {there}, not {program}")
    node.fill(TASKS)
    if wrong := node.wrong(TASKS):
        raise Failed(f"the workload could not be laid out: {wrong[0]}")
    kinds = sorted(set(workload.MIX))
    plans = {"all": plan(TASKS, speaks["plan"])} | {kind: plan(TASKS, speaks["plan"], (kind,)) for kind in kinds}
    times, starts, most = {of: [] for of in plans}, [], 0
    for of, wanted in [*plans.items()] * CHECKS:
        # A new process each time: a converge is the only one of its agent's life.
        with Session(node, installed, speaks["protocol"]) as session:
            seconds, changed = session.check(wanted)
            if changed:
                raise Failed(f"the node agent would change {changed} of {TASKS} tasks that are as they should be")
            times[of].append(seconds)
            starts.append(session.started)
            most = max(most, session.memory())
    return {
        "size": os.path.getsize(node.at(installed)),
        "memory": most,
        "tasks": TASKS,
        "check": {of: statistics.median(seconds) for of, seconds in times.items()},
        "checked": {of: len(wanted["plays"][0]["steps"]) for of, wanted in plans.items()},
        "start": statistics.median(starts),
    }
