"""How this machine and the node reach each other, and how pods reach the world.

One pair of links joins the two. On this machine's side there is one address, two routes and up to three
iptables rules, each with a comment that says whose it is; the link's end takes the address and the routes with it.
"""

import json
import shutil
from pathlib import Path

from e2e.cluster import node, shell
from e2e.cluster.failure import ClusterError
from e2e.cluster.layout import HOST_IP, HOST_LINK, NODE_CIDR, NODE_IP, POD_CIDR, SERVICE_CIDR, Layout
from e2e.cluster.process import wait_until

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
COMMENT = ("-m", "comment", "--comment", "finetune-operator development cluster")
PREFIX = "24"
LINK_SECONDS = 3.0

# The two for FORWARD let pods out where a firewall (Docker's, for one) drops what it does not know.
RULES = (
    ("nat", "POSTROUTING", ("-s", NODE_CIDR, "!", "-o", HOST_LINK, *COMMENT, "-j", "MASQUERADE")),
    ("filter", "FORWARD", ("-i", HOST_LINK, *COMMENT, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", HOST_LINK, *COMMENT, "-j", "ACCEPT")),
)


def connect(where: Layout, pid: int) -> None:
    """Joins this machine and the node whose first process is `pid`; does what is missing."""
    if link() is None:
        _require_unused()
        _ip("link", "add", HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    if HOST_IP not in json.dumps(link()):
        _ip("addr", "add", f"{HOST_IP}/{PREFIX}", "dev", HOST_LINK)
    _ip("link", "set", HOST_LINK, "up")
    node.run(where, ["ip", "addr", "replace", f"{NODE_IP}/{PREFIX}", "dev", "eth0"], why="give the node its address")
    node.run(where, ["ip", "link", "set", "eth0", "up"], why="bring up the node's link")
    node.run(where, ["ip", "route", "replace", "default", "via", HOST_IP], why="give the node a route out")
    for cidr in (POD_CIDR, SERVICE_CIDR):
        _ip("route", "replace", cidr, "via", NODE_IP, "dev", HOST_LINK)
    _forward(where)
    for table, chain, rule in RULES:
        if not _has_rule(table, chain, rule):
            shell.run(["iptables", "-w", "-t", table, "-I", chain, *rule], why=f"add a rule to {chain}")


def disconnect(where: Layout) -> None:
    # The kernel takes the link down with the node's network, in its own time; asked to at that moment, it refuses.
    if not wait_until(lambda: link() is None, seconds=LINK_SECONDS):
        _ip("link", "delete", HOST_LINK)
    for table, chain, rule in RULES:
        while _has_rule(table, chain, rule):
            shell.run(["iptables", "-w", "-t", table, "-D", chain, *rule], why=f"remove a rule from {chain}")
    before = where.run / "ip_forward.before"
    if before.exists():
        FORWARD.write_text(before.read_text())
        before.unlink()


def link() -> dict[str, object] | None:
    """This machine's end of the pair, with its addresses."""
    if shutil.which("ip") is None:
        return None
    try:
        found: list[dict[str, object]] = json.loads(
            shell.run(["ip", "-j", "addr", "show", HOST_LINK], why="look for the link")
        )
    except ClusterError:
        return None
    return found[0] if found else None


def rules() -> list[str]:
    """The cluster's rules in this machine's iptables."""
    if shutil.which("iptables") is None:
        return []
    return [f"iptables rule in {table}/{chain}" for table, chain, rule in RULES if _has_rule(table, chain, rule)]


def resolvers() -> list[str]:
    """Name servers that the node can reach: not those on this machine's loopback."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists():
            words = (line.split() for line in path.read_text().splitlines())
            found = [
                w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and not w[1].startswith(("127.", "::1"))
            ]
            if found:
                return found
    return []


def _forward(where: Layout) -> None:
    """Turns forwarding on, and notes what it was for `disconnect`."""
    before = where.run / "ip_forward.before"
    if not before.exists():
        new = before.with_suffix(".new")
        new.write_text(FORWARD.read_text())
        new.rename(before)
    if FORWARD.read_text().strip() != "1":
        FORWARD.write_text("1")


def _require_unused() -> None:
    routes = json.loads(shell.run(["ip", "-j", "route", "show"], why="read the routes"))
    for cidr in (NODE_CIDR, POD_CIDR, SERVICE_CIDR):
        if any(route.get("dst") == cidr for route in routes):
            raise ClusterError(
                f"the network {cidr} is in use here (`ip route show {cidr}`); "
                "end what uses it, or change the networks in e2e/cluster/layout.py"
            )


def _has_rule(table: str, chain: str, rule: tuple[str, ...]) -> bool:
    try:
        shell.run(["iptables", "-w", "-t", table, "-C", chain, *rule], why="look for a rule")
    except ClusterError:
        return False
    return True


def _ip(*arguments: str) -> None:
    shell.run(["ip", *arguments], why="join the node's network and this machine's")
