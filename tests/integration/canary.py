"""A value that is hard to spell, and every place outside Vault, the Secret and the pod where it must not be found."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.fleet import NAMESPACE, kubectl

#: Prints CANARY to the pod's log as a careless program would: as it is, in JSON, in a URL, in base64, in a line.
TELLS_ALL = """\
env
node -e 'const v = process.env.CANARY; console.log(JSON.stringify({v}), encodeURIComponent(v), encodeURI(v))'
printf %s "$CANARY" | base64 -w0; echo
printf 'x%s' "$CANARY" | base64 -w0; echo
printf 'xx%s' "$CANARY" | base64 -w0; echo
echo "could not log in with $CANARY"
exit 1
"""


def canary() -> tuple[str, list[str]]:
    """The value, and what betrays it: its plain middle parts, which no escaping changes, and these in base64."""
    one, two = f"Kanarie{secrets.token_hex(10)}", f"Vogel{secrets.token_hex(10)}"
    value = f"ü<{one}'\"\\&>{{{{ 7 * 7 }}}} $(HOME) %41+/=~\n\t#{two}&amp;\\u00e9 é"
    found = [one, two]
    for part in (one, two):
        for shift in range(3):
            # A character at either end may carry bits of a neighbour; those between are the part's alone.
            encoded = base64.b64encode(b"\0" * shift + part.encode()).decode().rstrip("=")
            found.append(encoded[-(-8 * shift // 6) : 8 * (shift + len(part)) // 6])
    return value, found


def assert_clean(text: str, betraying: list[str], where: str) -> None:
    for part in betraying:
        at = text.find(part)
        assert at < 0, f"{where}: …{text[max(0, at - 200) : at + 60]}…"


@contextmanager
def processes() -> Iterator[list[str]]:
    """Every command line, and every environment outside the containers, that is seen on the machine meanwhile."""
    seen: set[str] = set()
    found: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                    if "kubepods" not in (folder / "cgroup").read_text():
                        seen.add((folder / "environ").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found += seen


def everything_in_the_cluster(agent: str) -> str:
    """All objects of the namespace, managed fields and annotations included, but the Secret that is to have it."""
    kinds = "deployments,replicasets,pods,serviceaccounts,persistentvolumeclaims,networkpolicies,secretstores"
    kinds += ",externalsecrets,secrets,configmaps,leases,events,events.events.k8s.io"
    items = json.loads(kubectl("get", kinds, "-n", NAMESPACE, "-o", "json", "--show-managed-fields"))["items"]
    assert any(one["kind"] == "Secret" and one["metadata"]["name"] == f"{agent}-env" for one in items)
    rest = [one for one in items if (one["kind"], one["metadata"]["name"]) != ("Secret", f"{agent}-env")]
    return json.dumps(rest, ensure_ascii=False)
