"""Brings up nodes and a line, measures, writes the table and the plot, and leaves nothing behind."""

import argparse
import hashlib
import os
import platform
import signal
import sys

from . import agent, network, nodes, plot, report, tools, workload
from .results import STATES, Cell, Results
from .rounds import Bench, say
from .shell import Failed, run

ROUND_TRIPS = (0, 20, 80, 200)
NODES = (1, 10)
QUICK = (Cell(0, 1, 10), Cell(20, 2, 10))
# In seconds: what all rounds of one tool in one state of one cell may take before it gets no other round, and one run.
BUDGET, LIMIT = 600, 7200


def numbers(text):
    """A list of numbers with commas."""
    return [int(number) for number in text.split(",")]


def words(known):
    """A list of known words with commas."""

    def parse(text):
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return chosen

    return parse


def options():
    """The command line."""
    parser = argparse.ArgumentParser("benches/converge/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="prove that all works: two small cells, one round")
    parser.add_argument(
        "--cell", type=Cell.parse, action="append", metavar="RTTxNODESxTASKS", help="this cell; repeatable"
    )
    parser.add_argument("--round-trips", type=numbers, default=ROUND_TRIPS, metavar="MS,…", help="default: 0,20,80,200")
    parser.add_argument("--nodes", type=numbers, default=NODES, metavar="N,…", help="default: 1,10")
    parser.add_argument("--tasks", type=numbers, default=workload.SIZES, metavar="N,…", help="default: 10,100,500")
    parser.add_argument(
        "--states", type=words(STATES), default=STATES, metavar="STATE,…", help="default: cold,none,one"
    )
    parser.add_argument(
        "--tools", type=words(tools.ALL), default=tuple(tools.ALL), metavar="TOOL,…", help="default: all"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help="after so long, no other round")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, metavar="SECONDS", help="a run that takes longer is ended"
    )
    parser.add_argument("--results", metavar="FILE", help="where runs are kept; one that is there is gone on with")
    parser.add_argument(
        "--note", default="", metavar="TEXT", help="goes into the table's head: what the reader must know"
    )
    parser.add_argument("--docs", action="store_true", help="write docs/CONVERGE.md and docs/converge.svg")
    parser.add_argument(
        "--only-report", action="store_true", help="measure nothing; write from the results that are there"
    )
    for name in ("source", "stead", "agents", "relay", "venv"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.log = f"{chosen.source}/target/converge"
    if chosen.quick:
        chosen.cell, chosen.rounds = list(QUICK), 1
    chosen.cells = chosen.cell or [
        Cell(trip, count, tasks) for count in chosen.nodes for tasks in chosen.tasks for trip in chosen.round_trips
    ]
    if strange := {cell.tasks for cell in chosen.cells} - set(workload.SIZES):
        parser.error(f"no workload has {strange.pop()} tasks: take {', '.join(map(str, workload.SIZES))}")
    name = "quick" if chosen.quick else "results"
    chosen.results = chosen.results or f"{chosen.log}/{name}.jsonl"
    return chosen


def sha256(path):
    """A file's hash."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def session(chosen, versions):
    """What there is to know of this run beside its figures."""
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    return {
        "commit": run("git", "-C", chosen.source, "describe", "--always", "--dirty", check=False).strip()
        or "no commit",
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
        "versions": versions,
        "rounds": chosen.rounds,
        "note": chosen.note,
    }


def measure(chosen, results, fleet, close):
    """All that needs nodes. `close` takes what is to be undone at the end, last first."""
    close.append(fleet.close)
    say(f"bringing up {len(fleet.names)} nodes (and their image, where it is not stored)")
    fleet.open()
    line = network.Line(chosen.relay, fleet.nodes[0].address)
    close.append(line.close)
    line.open()
    using = [tools.ALL[name](fleet, chosen.venv) for name in chosen.tools]
    versions = {tool.name: tool.version() for tool in using}
    if "stead" in versions and "/debug/" in chosen.stead:
        versions["stead"] += " (debug build)"
    agent_hash = sha256(f"{chosen.agents}/stead-node")
    # Stead's version number stays between releases.
    builds = versions | {"stead": f"{sha256(chosen.stead)[:16]}-{agent_hash[:16]}"}
    results.add("session", **session(chosen, versions))
    bench = Bench(fleet, line, using, builds, results, chosen)
    fleet.settle()
    bench.warm_up(len(fleet.nodes), workload.SIZES[0])
    results.add("agent", **agent.figures(fleet.nodes[0], chosen.source, agent_hash))
    bench.measure(chosen.cells, chosen.states)
    return bench.failed


def left(fleet):
    """What is left on this machine of a fleet and its line, though it was taken down."""
    pid = os.getpid()
    # What Stead names after a fleet and its nodes (src/id.rs, src/provider/local/).
    short = hashlib.sha256(fleet.id.encode()).hexdigest()[:8]
    mark = f"st-{fleet.id.removeprefix('fl_')}-"
    cables = ["stn" + hashlib.sha256(node.mark.encode()).hexdigest()[:8] for node in fleet.nodes]
    looks = {
        "namespace": (run("ip", "netns", "list"), [network.NAMESPACE.format(pid)]),
        "device": (run("ip", "-o", "link"), [f"sbn{pid}", f"sbf{pid}", f"stb{short}", *cables]),
        "packet filter": (run("nft", "list", "ruleset"), [f"sbf{pid}", f"stead_{short}"]),
        "process": (run("ps", "-eo", "pid,args"), [fleet.work, mark]),
        "mount": (run("cat", "/proc/self/mountinfo"), [fleet.work, mark]),
        "control group": (run("find", "/sys/fs/cgroup", "-type", "d", "-name", "st-*"), [mark]),
        "folder": (run("ls", "-d", fleet.work, check=False), [fleet.work]),
    }
    for what, (text, needles) in looks.items():
        for found in text.splitlines():
            if any(needle in found for needle in needles):
                yield f"{what}: {found.strip()}"


def write(chosen, results):
    """The table on stdout, and table and plot in files."""
    folder = f"{chosen.source}/docs" if chosen.docs else chosen.log
    os.makedirs(folder, exist_ok=True)
    picture = plot.draw(results)
    page = report.Page(results, "converge.svg" if picture else None).text()
    for name, text in (("CONVERGE.md", page), ("converge.svg", picture)):
        if text:
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
    print(page, end="")
    say(f"written: {folder}/CONVERGE.md" + (f", {folder}/converge.svg" if picture else ""))


def stop(caught, _):
    """Ends the run in order."""
    say(f"caught {signal.Signals(caught).name}")
    sys.exit(128 + caught)


def main():
    """Runs the benchmark."""
    chosen = options()
    if chosen.quick and os.path.exists(chosen.results):
        os.unlink(chosen.results)
    results = Results(chosen.results)
    if chosen.only_report:
        write(chosen, results)
        return 0
    if "stead" in chosen.tools and not tools.Stead.available(chosen.stead):
        say("this stead has no `converge`: it is left out")
        chosen.tools = [name for name in chosen.tools if name != "stead"]
    network.sweep()
    nodes.sweep(chosen.stead)
    fleet = nodes.Fleet(chosen.stead, max(cell.nodes for cell in chosen.cells))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    close = []
    try:
        failed = measure(chosen, results, fleet, close)
    finally:
        # Once begun, it is gone through with: a second Ctrl-C would only leave things behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        say("taking down")
        for undo in reversed(close):
            try:
                undo()
            except Failed as error:
                say(f"error: {error}")
        remains = list(left(fleet))
        for what in remains:
            say(f"error: left behind: {what}")
    write(chosen, results)
    if failed:
        say(f"error: {failed} runs did not do what they should; the table tells which")
    return 1 if failed or remains else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"error: {error}")
