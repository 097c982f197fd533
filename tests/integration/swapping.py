"""An admission webhook that changes what is written, as some clusters' policies do."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.fleet import NAMESPACE, Object, apply, kubectl
from tests.sandbox import pki


@contextmanager
def swapped_image(agent: str, image: str, folder: Path) -> Iterator[None]:
    """While this is there each new pod of the agent gets this image for its first container."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    with _changed(agent, rule, "/spec/containers/0/image", image, folder):
        yield


@contextmanager
def set_grace(agent: str, seconds: int, folder: Path) -> Iterator[None]:
    """While this is there the agent's Deployment has this grace, whatever is written."""
    operations = ["CREATE", "UPDATE"]
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": operations, "resources": ["deployments"]}
    with _changed(agent, rule, "/spec/template/spec/terminationGracePeriodSeconds", seconds, folder):
        yield


@contextmanager
def _changed(agent: str, rule: Object, path: str, value: object, folder: Path) -> Iterator[None]:
    patch = [{"op": "replace", "path": path, "value": value}]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {
                "uid": asked["request"]["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
            }
            body = json.dumps({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    signer = pki.authority("a-policy-of-a-test")
    certificate, key = pki.issue(signer, "policy", names=("127.0.0.1",))
    (folder / "policy.pem").write_text(certificate + key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "policy.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    webhook = {
        "name": f"{agent}.agents.digitalsys.example",
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_port}/",
            "caBundle": base64.b64encode(pki.pem(signer.certificate).encode()).decode(),
        },
        "rules": [rule],
        "objectSelector": {"matchLabels": {"app.kubernetes.io/instance": agent}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = "MutatingWebhookConfiguration"
    api = "admissionregistration.k8s.io/v1"
    try:
        apply({"apiVersion": api, "kind": kind, "metadata": {"name": agent}, "webhooks": [webhook]})
        yield
    finally:
        kubectl("delete", kind, agent, "--ignore-not-found")
        server.shutdown()
        server.server_close()
