# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one class that talks to the API server: fixed paths, our own retries, typed refusals.

Every answer is read to its end (an unread one costs a TLS handshake for the next request).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.digitalsys.agents.plugins.module_utils._context import Context, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._errors import AgentError
from ansible_collections.digitalsys.agents.plugins.module_utils._kube_config import configuration, impersonation
from ansible_collections.digitalsys.agents.plugins.module_utils._kube_errors import (
    is_retryable,
    refusal,
    refused_handshake,
    status_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._names import FIELD_MANAGER
from ansible_collections.digitalsys.agents.plugins.module_utils._resources import BY_NAME, NAMESPACE, Kind
from ansible_collections.digitalsys.agents.plugins.module_utils._retry import Budget, backoff

try:
    import urllib3
    from kubernetes import client as kubernetes_client
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic import DynamicClient
    from kubernetes.stream import portforward, stream
except ImportError:
    pass  # _kube_config.configuration says so

_TIMEOUT = (2, 10)
_RETRY_SECONDS = 60.0
_EXEC_SECONDS = 30
_PAGE = 500
Object = dict[str, Any]

_NO_LOG = "unable to retrieve container logs"


class Kube:
    def __init__(self, params: Params, context: Context) -> None:
        config = configuration(params, context.environ, context.private_folder, bool(params.get("allow_insecure")))
        # Watches of one rollout hold connections; a pool that is too small would throw them away with a warning.
        config.connection_pool_maxsize = 10
        self._api = kubernetes_client.ApiClient(config)
        for name, value in impersonation(params, context.environ).items():
            self._api.set_default_header(name, value)
        for token in (config.api_key or {}).values():
            context.secrets.add(str(token).removeprefix("Bearer "))
        self._client = DynamicClient(self._api, discoverer=lambda client, cache: None)
        self._progress = context.progress
        self._broken = -math.inf
        self.host = config.host
        self.retries = 0

    def broke(self) -> None:
        """A connection to the server broke just now: here, or in the hands of whoever follows a watch."""
        self._broken = time.monotonic()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        retry: bool = True,
        budget: Budget | None = None,
        accept: str = "application/json",
    ) -> Object:
        """The parsed answer. AgentError 'unavailable' once the budget is spent, else the refusal in our words."""
        budget, problem = budget or Budget(_RETRY_SECONDS if retry else 0.0), ""
        for attempt in backoff(budget):
            try:
                answer = self._client.request(
                    method,
                    path,
                    body=body,
                    query_params=list((query or {}).items()),
                    content_type=content_type,
                    header_params={"Accept": accept},
                    serialize=False,
                    _request_timeout=_TIMEOUT,
                )
                return json.loads(answer.data) if answer.data else {}
            except ApiException as error:
                if not error.status:
                    problem = _transport_words(error)
                    self.broke()
                elif retry and is_retryable(error.status, status_of(error.body), time.monotonic() - self._broken):
                    problem = f"HTTP {error.status}"
                    budget.asked_pause = _retry_after(error)
                else:
                    raise refusal(method, path, error.status, error.body) from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                problem = _transport_words(error)
                self.broke()
            if attempt == 0 and retry:
                self._progress(
                    f"the API server did not take a request ({problem}); trying again for {budget.seconds:.0f} s"
                )
            self.retries += 1
        raise AgentError(
            "unavailable",
            f"the API server at {self.host} did not answer {method} {path.split('?')[0]}: {problem} "
            f"({budget.retries} retries)",
            "Nothing changed since the last step shown; run the same command again to go on.",
        )

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return self.request("GET", kind.path(namespace, name))
        except AgentError as error:
            if error.kind == "not_found":
                return None
            raise

    def list_objects(
        self, kind: Kind, namespace: str, *, labels: str = "", fields: str = ""
    ) -> tuple[list[Object], str]:
        """(items, resourceVersion of the list), paged; items carry kind and apiVersion as a single GET's do."""
        items: list[Object] = []
        query: dict[str, Any] = {
            "limit": _PAGE,
            **({"labelSelector": labels} if labels else {}),
            **({"fieldSelector": fields} if fields else {}),
        }
        while True:
            page = self.request("GET", kind.path(namespace), query=query)
            items += page.get("items") or []
            query["continue"] = page["metadata"].get("continue")
            if not query["continue"]:
                for item in items:
                    item.setdefault("kind", kind.name)
                    item.setdefault("apiVersion", kind.api_version)
                return items, page["metadata"]["resourceVersion"]

    def list_metadata(self, kind: Kind, namespace: str) -> list[Object]:
        """All of a kind in the namespace, whoever made it: metadata only, so that it costs little."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        return list(self.request("GET", kind.path(namespace), accept=accept).get("items") or [])

    def serves(self, api_version: str) -> bool:
        """Whether a group and version is there: one request."""
        try:
            self.request("GET", f"/apis/{api_version}")
        except AgentError as error:
            if error.kind == "not_found":
                return False
            raise
        return True

    def apply(
        self, body: Object, *, manager: str = FIELD_MANAGER, force: bool = False, dry_run: bool = False
    ) -> Object:
        """Server-side apply. Idempotent, so it is retried; a resourceVersion in the body is its precondition."""
        kind, meta = BY_NAME[body["kind"]], body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), **({"dryRun": "All"} if dry_run else {})}
        path = kind.path(meta.get("namespace", ""), meta["name"])
        return self.request("PATCH", path, query=query, body=body, content_type="application/apply-patch+yaml")

    def create(self, kind: Kind, body: Object) -> Object:
        """Never sent twice: after a lost answer the caller reads by name and compares."""
        path = kind.path(body["metadata"].get("namespace", ""))
        return self.request("POST", path, body=body, query={"fieldManager": FIELD_MANAGER}, retry=False)

    def replace(self, kind: Kind, body: Object, budget: Budget | None = None) -> Object:
        """A write under the resourceVersion that the body carries."""
        path = kind.path(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        return self.request("PUT", path, body=body, query={"fieldManager": FIELD_MANAGER}, budget=budget)

    def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, dry_run: bool = False) -> bool:
        """False when it was gone already. The uid is a precondition: never somebody's new object of the same name."""
        # Where a body is sent the server looks at nothing else: a dry run that stands in the query alone deletes.
        dry: Object = {"dryRun": ["All"]} if dry_run else {}
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background", **dry}
        try:
            self.request("DELETE", kind.path(namespace, name), body=body, query={"dryRun": "All"} if dry_run else {})
        except AgentError as error:
            if error.kind == "not_found":
                return False
            raise
        return True

    def cluster_uid(self) -> str:
        """The uid of namespace kube-system: what names a cluster."""
        found = self.get(NAMESPACE, "", "kube-system")
        return str(found["metadata"]["uid"]) if found else ""

    def review_rules(self, namespace: str) -> Object:
        """What this identity may do in the namespace (SelfSubjectRulesReview: one request, nothing is stored)."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        answer = self.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=body)
        return dict(answer.get("status") or {})

    def watch(
        self, kind: Kind, namespace: str, *, resource_version: str, seconds: int, labels: str = "", fields: str = ""
    ) -> Iterator[tuple[str, Object]]:
        """(type, object) as they come, until the server ends the stream. A 410 comes as type ERROR: list again."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": seconds,
            "allowWatchBookmarks": "true",
        }
        query |= {**({"labelSelector": labels} if labels else {}), **({"fieldSelector": fields} if fields else {})}
        answer = self._client.request(
            "GET",
            kind.path(namespace),
            query_params=list(query.items()),
            serialize=False,
            _request_timeout=(2, seconds + 5),
        )
        rest = b""
        try:
            for chunk in answer.stream(65536, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        event = json.loads(line)
                        yield event["type"], event["object"]
        finally:
            answer.close()

    def log(self, namespace: str, pod: str, container: str, *, previous: bool, lines: int) -> str:
        """The last lines of a container's log; '' when there is none to be had (the kubelet answers that with 200)."""
        query = {"container": container, "tailLines": lines, "previous": str(previous).lower()}
        try:
            answer = self._client.request(
                "GET",
                f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
                query_params=list(query.items()),
                header_params={"Accept": "*/*"},
                serialize=False,
                _request_timeout=_TIMEOUT,
            )
            text = str(answer.data.decode("utf-8", "replace"))
            return "" if text.startswith(_NO_LOG) else text
        except (ApiException, urllib3.exceptions.HTTPError, OSError):
            return ""

    def load_streams(self) -> None:
        """What port_forward and exec need is loaded by the library when it is first asked for, which takes most of a
        second: to be called where there is time."""
        self._streams()

    def _streams(self) -> Any:
        """With a client of its own: the stream module exchanges the client's transport while it connects."""
        return kubernetes_client.CoreV1Api(kubernetes_client.ApiClient(self._api.configuration))

    def port_forward(self, namespace: str, pod: str, port: int) -> Any:
        """A socket to the pod's port through the API server (pod addresses are not reachable from AWX or a laptop)."""
        api = self._streams()
        forward = portforward(api.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        return forward.socket(port)

    def exec(self, namespace: str, pod: str, container: str, command: list[str]) -> str | None:
        """What a command in the container prints; None where it did not come to run. Its words stand in the API
        server's audit log: never a value."""
        api = self._streams()
        try:
            return str(
                stream(
                    api.connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    container=container,
                    command=command,
                    stdin=False,
                    stdout=True,
                    stderr=False,
                    tty=False,
                    _request_timeout=_EXEC_SECONDS,
                )
            )
        except ApiException as error:
            if refused_handshake(error) == 403:
                raise refusal("create", f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", 403, b"") from None
            return None
        except (urllib3.exceptions.HTTPError, OSError):
            return None

    def close(self) -> None:
        self._api.close()


def _transport_words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(error).__name__}: {reason}".splitlines()[0][:160]


def _retry_after(error: Any) -> float | None:
    try:
        return float((error.headers or {})["Retry-After"])
    except (KeyError, TypeError, ValueError):
        return None
