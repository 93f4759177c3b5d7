"""The line between controller and nodes: a network namespace of the controller's, and a relay that takes its time.

```text
controller's namespace            this machine's own
  near device ──── relay ──── far device ──── the fleet's bridge ──── nodes
```
"""

import ipaddress
import json
import os
import re
import statistics
import subprocess
import time

from .shell import Failed, drives, run

NAMESPACE = "stead-bench-{}"
# The range that RFC 2544 sets aside for measuring networks.
RANGE = ipaddress.ip_network("198.18.0.0/15")
FORWARDING = "stead-bench"
# How far a measured round trip may be off, as a share and in milliseconds, whichever is more.
OFF = 0.1
OFF_AT_LEAST = 1.0


class Line:
    """The line to one fleet's nodes. Whoever made it takes it down with `close`."""

    def __init__(self, relay, node):
        pid = os.getpid()
        self.namespace = NAMESPACE.format(pid)
        self.near, self.far = f"sbn{pid}", f"sbf{pid}"
        self.relay = None
        self.program = relay
        self.bridge = json.loads(run("ip", "-j", "route", "get", node))[0]["dev"]
        # How Stead names what is the fleet's on this host (src/provider/local/network.rs).
        self.table = "stead_" + self.bridge.removeprefix("stb")
        address = json.loads(run("ip", "-j", "-4", "address", "show", "dev", self.bridge))[0]["addr_info"][0]
        self.nodes = ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}").network

    def open(self):
        """Makes the line, without a delay."""
        four = next(
            net
            for net in RANGE.subnets(new_prefix=30)
            if not run("ip", "-4", "route", "show", "root", str(net)).strip()
        )
        here, there = (f"{address}/30" for address in four.hosts())
        run("ip", "netns", "add", self.namespace)
        # In a session of its own: Ctrl-C is for the driver, which takes the line down in order. The relay ends with its
        # input, so it never outlives the driver, however that one ends, and its devices and routes go with it.
        self.relay = subprocess.Popen(
            [self.program, self.near, self.far],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self.relay.stdout.readline().strip() != "ready":
            raise Failed("the relay did not start")
        # A tool that computes on all cores must not make the line longer.
        os.sched_setscheduler(self.relay.pid, os.SCHED_RR, os.sched_param(1))
        for device in (self.near, self.far):
            run("ip", "link", "set", device, "mtu", "1500", "txqueuelen", "10000")
        run("ip", "link", "set", self.near, "netns", self.namespace)
        inside = ("ip", "-n", self.namespace)
        # Whatever the kernel announces over IPv6 would be counted.
        for where, device in ((("ip", "netns", "exec", self.namespace), self.near), ((), self.far)):
            run(*where, "sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", there, "dev", self.near)
        run(*inside, "link", "set", self.near, "up")
        # The nodes and nothing else: no tool may look for names or updates outside while it is measured.
        run(*inside, "route", "add", str(self.nodes), "dev", self.near)
        run("ip", "address", "add", here, "dev", self.far)
        run("ip", "link", "set", self.far, "up")
        self.allow()

    def allow(self):
        """Lets the far device's packets through to the nodes; does nothing where they are.

        A table of our own would not do: a packet that any table drops is gone, and the fleet's drops what comes from
        elsewhere. So the rule goes into the fleet's own, in front. `stead up` writes that table anew; and another
        fleet's end may have turned forwarding off.
        """
        with open("/proc/sys/net/ipv4/ip_forward", "r+") as file:
            if file.read().strip() == "0":
                file.write("1")
        if not self._rules():
            rule = f'iifname "{self.far}" oifname "{self.bridge}" accept comment "{FORWARDING}"'
            run("nft", "-f", "-", stdin=f"insert rule inet {self.table} forward {rule}\n")

    def _rules(self):
        chain = run("nft", "-a", "list", "chain", "inet", self.table, "forward", check=False)
        return re.findall(rf'comment "{FORWARDING}" # handle (\d+)', chain)

    def _ask(self, command):
        self.relay.stdin.write(command + "\n")
        self.relay.stdin.flush()
        answer = self.relay.stdout.readline().strip()
        if not answer:
            raise Failed("the relay has ended")
        return answer

    def set_round_trip(self, milliseconds):
        """Sets how long a packet and its answer take, half of it each way."""
        self._ask(f"delay {round(milliseconds * 500)}")

    def count(self):
        """What went over the line so far: (bytes to the nodes, bytes from them). IP packets, headers included."""
        _, there, lost_there, _, back, lost_back = map(int, self._ask("count").split())
        if lost_there + lost_back:
            raise Failed(f"the relay dropped packets: {lost_there} to the nodes, {lost_back} from them")
        return there, back

    def round_trip(self, addresses, wanted):
        """Measures the round trip to nodes by ping, in milliseconds, and fails where it is not the wanted one."""
        medians = []
        for address in addresses:
            # The first wakes up neighbours and is not counted.
            ping = ("ping", "-n", "-c", "11", "-i", "0.05", "-W", "2", address)
            said = run("ip", "netns", "exec", self.namespace, *ping, check=False)
            times = [float(time) for time in re.findall(r"time=([\d.]+)", said)][1:]
            if len(times) < 10:
                raise Failed(f"{address} does not answer over the relay: {said}")
            medians.append(statistics.median(times))
        median = max(medians, key=lambda value: abs(value - wanted))
        if abs(median - wanted) > max(OFF * wanted, OFF_AT_LEAST):
            raise Failed(f"the round trip takes {median:.1f} ms in place of {wanted} ms")
        return median

    def settle(self, milliseconds):
        """Waits until what is still under way has arrived."""
        time.sleep(0.02 + 2 * milliseconds / 1000)

    def close(self):
        """Takes the line down; also one that was only half made."""
        for handle in self._rules():
            run("nft", "delete", "rule", "inet", self.table, "forward", "handle", handle, check=False)
        if self.relay:
            self.relay.stdin.close()
            try:
                self.relay.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.relay.kill()
                self.relay.wait()
            self.relay = None
        run("ip", "netns", "delete", self.namespace, check=False)


def sweep():
    """Takes down the namespaces of drivers that were killed."""
    prefix = NAMESPACE.format("")
    for name in (line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.startswith(prefix)):
        if not drives(name.removeprefix(prefix)):
            run("ip", "netns", "delete", name)
