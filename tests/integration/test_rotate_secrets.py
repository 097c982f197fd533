"""One value that is hard to spell goes through a whole rotation, a failing one and one that is rolled back, as AWX runs
them; then it is looked for in every place that they touch, in every spelling."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.canary import TELLS_ALL, assert_clean, canary, everything_in_the_cluster, processes
from tests.integration.fleet import NAMESPACE, Fleet, kubectl, pods
from tests.integration.rotating import bring, journal, values_left
from tests.integration.runner import Job
from tests.sandbox.paths import LOGS

Make = Callable[..., Fleet]
NAME = "canario-giro"
#: Says all that it knows, and then runs, or with FAIL does not.
TALKS = TELLS_ALL.replace("exit 1", '[ -z "$FAIL" ] || exit 1; exec openclaw gateway run --bind lan')


@pytest.fixture
def refusing() -> Iterator[str]:
    """A service that takes no value. Its address."""

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_rotated_value_is_nowhere_but_in_vault_the_secret_and_the_pod(
    make_fleet: Make, needs: Callable[..., None], tmp_path: Path, refusing: str
) -> None:
    needs("kubelet", "admin", "vault-admin", "processes")
    old, of_old = canary()
    new, of_new = canary()
    fleet = make_fleet(NAME)
    fleet.put(NAME, {**fleet.values(NAME), "CANARY": old})
    # No white space at the ends, and a line break: allowed where the policy says so.
    policy = {"CANARY": {"multi_line": True}, "TRIED": {"multi_line": True, "test": {"url": refusing}}}
    variables = {"agent_command": ["sh", "-c", TALKS], "agent_args": [], "agent_key_policy": policy}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    job = Job(tmp_path / "job", NAME, variables, words="-vvv --diff")
    (job.folder / "env/envvars").write_text(json.dumps({**job.environment, "TMPDIR": str(temporary)}))
    job.run("playbooks/rollout.yml", 1, "job1")

    def rotate(number: int, keys: str, *words: str) -> None:
        with processes() as seen:
            done = job.start("playbooks/rotate.yml", number, f"job{number}", keys=keys)
        for word in words:
            assert word in done.stdout, done.stdout
        assert (done.returncode == 0) == (not words), done.stdout
        values = [of_old, of_new, *([value] for value in fleet.values(NAME).values() if len(value) > 20)]
        texts = {"a process": "\n".join(seen), "the output": done.stdout, "the artifacts": job.written()}
        texts["the cluster"] = everything_in_the_cluster(NAME)
        texts |= {str(path): path.read_text(errors="replace") for path in temporary.rglob("*") if path.is_file()}
        for log in LOGS.glob("*.log"):
            texts[log.name] = log.read_text(errors="replace")
        for where, text in texts.items():
            for betraying in values:
                assert_clean(text, betraying, f"job {number}: {where}")

    bring(NAME, CANARY=new)
    rotate(2, "CANARY")
    assert fleet.values(NAME)["CANARY"] == new
    pod = pods(NAME)[0]["metadata"]["name"]
    assert kubectl("exec", "-n", NAMESPACE, pod, "-c", "openclaw", "--", "printenv", "CANARY") == f"{new}\n"

    bring(NAME, TRIED=old)
    rotate(3, "TRIED", "did not pass its test", "nothing outside the journal was touched")
    assert journal(NAME)["phase"] == "aborted"

    bring(NAME, CANARY=old, FAIL="1")
    rotate(4, "CANARY,FAIL", "could not log in with ***", "Everything is back")
    assert fleet.values(NAME)["CANARY"] == new
    assert journal(NAME)["phase"] == "rolled_back"
    assert not values_left(NAME)
