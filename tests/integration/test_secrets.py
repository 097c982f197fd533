"""One value that is hard to spell, looked for in every place that a rollout touches, in every spelling."""

from __future__ import annotations

import base64
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.fleet import NAMESPACE, Fleet, Run, get, kubectl, pods

Make = Callable[..., Fleet]
NAME = "canario"
#: Prints the value to the pod's log as a careless program would: as it is, in JSON, in a URL, in base64, in a line.
TELLS_ALL = """\
env
node -e 'const v = process.env.CANARY; console.log(JSON.stringify({v}), encodeURIComponent(v), encodeURI(v))'
printf %s "$CANARY" | base64 -w0; echo
printf 'x%s' "$CANARY" | base64 -w0; echo
printf 'xx%s' "$CANARY" | base64 -w0; echo
echo "could not log in with $CANARY"
exit 1
"""


def _canary() -> tuple[str, list[str]]:
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


def _assert_clean(text: str, betraying: list[str], where: str) -> None:
    for part in betraying:
        at = text.find(part)
        assert at < 0, f"{where}: …{text[max(0, at - 200) : at + 60]}…"


@contextmanager
def _command_lines() -> Iterator[list[str]]:
    """Every command line that is seen on the machine meanwhile."""
    seen: set[str] = set()
    found: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
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


def _everything_in_the_cluster() -> str:
    """All objects of the namespace, managed fields and annotations included, but the Secret that is to have it."""
    kinds = "deployments,replicasets,pods,serviceaccounts,persistentvolumeclaims,networkpolicies,secretstores"
    kinds += ",externalsecrets,secrets,configmaps,leases,events,events.events.k8s.io"
    items = json.loads(kubectl("get", kinds, "-n", NAMESPACE, "-o", "json", "--show-managed-fields"))["items"]
    assert any(one["kind"] == "Secret" and one["metadata"]["name"] == f"{NAME}-env" for one in items)
    rest = [one for one in items if (one["kind"], one["metadata"]["name"]) != ("Secret", f"{NAME}-env")]
    return json.dumps(rest, ensure_ascii=False)


def test_a_value_is_nowhere_but_in_vault_the_secret_and_the_pod(
    make_fleet: Make, needs: Callable[..., None], tmp_path: Path
) -> None:
    needs("kubelet", "admin", "vault-admin")
    value, betraying = _canary()
    fleet = make_fleet(NAME)
    fleet.put(NAME, {**fleet.values(NAME), "CANARY": value})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    folders = {"TMPDIR": str(temporary), "ANSIBLE_LOCAL_TEMP": str(temporary / "ansible"), "HOME": str(tmp_path)}

    def rollout() -> Run:
        with _command_lines() as seen:
            run = fleet.rollout(NAME, "-vvv", "--diff", env=folders)
        assert any("ansible-playbook" in line for line in seen)
        for line in seen:
            _assert_clean(line, betraying, "a command line")
        _assert_clean(run.output, betraying, "the output")
        _assert_clean(json.dumps(run.results, ensure_ascii=False), betraying, "the results")
        for path in tmp_path.rglob("*"):
            if path.is_file():
                _assert_clean(path.read_text(errors="replace"), betraying, str(path))
        _assert_clean(_everything_in_the_cluster(), betraying, "the cluster")
        return run

    rollout().ok()
    # It arrived as it is: what is not found elsewhere is really there.
    kept = get("secret", f"{NAME}-env")
    assert kept
    assert base64.b64decode(kept["data"]["CANARY"]).decode() == value
    pod = pods(NAME)[0]["metadata"]["name"]
    assert kubectl("exec", "-n", NAMESPACE, pod, "-c", "openclaw", "--", "printenv", "CANARY") == f"{value}\n"

    # A release that says everything it knows before it dies: its last words are shown, without the value.
    fleet.variables.update({"agent_command": ["sh", "-c", TELLS_ALL], "agent_args": []})
    run = rollout().failed("could not log in with ***")
    assert "CANARY=***" in json.dumps(run.results[NAME]["error"], ensure_ascii=False)
    for other in (*fleet.values(NAME).values(), os.environ["VAULT_TOKEN"]):
        assert other not in run.output
