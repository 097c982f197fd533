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
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Object, Params
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind, NotFound
from ansible_collections.digitalsys.agents.plugins.module_utils._core.http import FAULTS, patience
from ansible_collections.digitalsys.agents.plugins.module_utils._core.retry import Budget, backoff
from ansible_collections.digitalsys.agents.plugins.module_utils._core.timeouts import (
    KUBE_REQUEST,
    KUBE_RETRIES,
    WATCH_SLACK,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.config import access, impersonation
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.errors import (
    REFUSED_BY_RIGHTS,
    is_retryable,
    refusal,
    refused_handshake,
    status_of,
)
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.kinds import BY_NAME, NAMESPACE, Kind
from ansible_collections.digitalsys.agents.plugins.module_utils._kube.names import FIELD_MANAGER

#: Asked before each attempt of a write: a retried request may outlive the lease under which it was sent first.
Ask = Callable[[], None]
_PAGE = 500
_NO_LOG = "unable to retrieve container logs"


class Kube:
    def __init__(self, params: Params, context: Context) -> None:
        self._access = access(params, context.environ, context.private_folder, bool(params.get("allow_insecure")))
        self._headers = {"User-Agent": FIELD_MANAGER, **impersonation(params, context.environ)}
        context.secrets.add(self._access.authorization().partition(" ")[2])
        self._progress = context.progress
        self._broken = -math.inf
        self._date = ""
        #: Whether the server has said that this identity has the rights that the operation needs.
        self.allowed = False
        self.host = self._access.host
        self.retries = 0

    def broke(self) -> None:
        """A connection to the server broke just now: here, or in the hands of whoever follows a watch."""
        self._broken = time.monotonic()

    def _restarted(self, code: int, words: str) -> None:
        """Rights that were there a moment ago are most likely not yet loaded: a connection that broke while nobody used
        it is made anew without a word. Once only: rights that are really gone are told as that."""
        if self.allowed and code == 403 and REFUSED_BY_RIGHTS.search(words):
            self.allowed = False
            self.broke()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        *,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: tuple[float, float] = KUBE_REQUEST,
        read: bool = True,
    ) -> Any:
        """urllib3's answer, whatever its status; its data are still to come where not `read`."""
        headers = {**self._headers, "Accept": accept, "Content-Type": content_type}
        if authorization := self._access.authorization():
            headers["Authorization"] = authorization
        words = urlencode(query, quote_via=quote, safe="/")
        return self._access.pool.request(
            method,
            f"{self.host}{path}{'?' if words else ''}{words}",
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=patience(*timeout),
            preload_content=read,
        )

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
        ask: Ask | None = None,
    ) -> Object:
        """The parsed answer. ask: whether it may be sent, for each attempt anew. AgentError 'unavailable' once the
        budget is spent, else the refusal in our words."""
        budget = budget or Budget(KUBE_RETRIES if retry else 0.0)
        problem = ""
        for attempt in backoff(budget):
            if ask:
                ask()
            try:
                answer = self._send(method, path, query or {}, body=body, content_type=content_type, accept=accept)
            except FAULTS as error:
                problem = _transport_words(error)
                self.broke()
            else:
                self._date = answer.headers.get("Date", "")
                if 200 <= answer.status < 300:
                    return json.loads(answer.data) if answer.data else {}
                status = status_of(answer.data)
                self._restarted(answer.status, status.get("message", ""))
                since = time.monotonic() - self._broken
                if not (retry and is_retryable(answer.status, status, since)):
                    raise refusal(method, path, answer.status, answer.data)
                problem = f"HTTP {answer.status}"
                budget.asked_pause = _retry_after(answer)
            if attempt == 0 and retry:
                self._progress(
                    f"the API server did not take a request ({problem}); trying again for {budget.seconds:.0f} s"
                )
            self.retries += 1
        raise AgentError(
            ErrorKind.UNAVAILABLE,
            f"the API server at {self.host} did not answer {method} {path.split('?')[0]}: {problem} "
            f"({budget.retries} retries)",
            "Nothing changed since the last step shown; run the same command again to go on.",
        )

    def server_time(self) -> float:
        """Seconds since 1970 by the API server's clock, of its last answer; 0.0 where it did not say."""
        try:
            return parsedate_to_datetime(self._date).timestamp()
        except (TypeError, ValueError):
            return 0.0

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return self.request("GET", kind.path(namespace, name))
        except NotFound:
            return None

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

    def get_metadata(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Whose it is, and nothing of what stands in it."""
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        try:
            return self.request("GET", kind.path(namespace, name), accept=accept)
        except NotFound:
            return None

    def list_metadata(self, kind: Kind, namespace: str) -> list[Object]:
        """All of a kind in the namespace, whoever made it: metadata only, so that it costs little."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        return list(self.request("GET", kind.path(namespace), accept=accept).get("items") or [])

    def apply(
        self,
        body: Object,
        *,
        manager: str = FIELD_MANAGER,
        force: bool = False,
        dry_run: bool = False,
        ask: Ask | None = None,
    ) -> Object:
        """Server-side apply. Idempotent, so it is retried; a resourceVersion in the body is its precondition."""
        kind = BY_NAME[body["kind"]]
        meta = body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), **({"dryRun": "All"} if dry_run else {})}
        path = kind.path(meta.get("namespace", ""), meta["name"])
        return self.request("PATCH", path, query=query, body=body, content_type="application/apply-patch+yaml", ask=ask)

    def merge(self, kind: Kind, body: Object, *, dry_run: bool = False, ask: Ask | None = None) -> Object:
        """A merge patch of what body says, under the resourceVersion and uid that stand in its metadata."""
        path = kind.path(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.request("PATCH", path, query=query, body=body, content_type="application/merge-patch+json", ask=ask)

    def create(self, body: Object, *, dry_run: bool = False, retry: bool = True, ask: Ask | None = None) -> Object:
        """Conflict (is_there_already) where it is: made by somebody else, or by an attempt whose answer was lost; the
        caller reads by name and compares. Never an apply: one that arrives late would overwrite what another run made.
        """
        path = BY_NAME[body["kind"]].path(body["metadata"].get("namespace", ""))
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self.request("POST", path, body=body, query=query, retry=retry, ask=ask)

    def replace(self, kind: Kind, body: Object, budget: Budget | None = None) -> Object:
        """A write under the resourceVersion that the body carries."""
        path = kind.path(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        return self.request("PUT", path, body=body, query={"fieldManager": FIELD_MANAGER}, budget=budget)

    def delete(self, live: Object, *, dry_run: bool = False, ask: Ask | None = None) -> bool:
        """False when it was gone already. uid and resourceVersion are its preconditions: never somebody's new object of
        the same name, nor one that was changed since it was looked at (Conflict)."""
        kind = BY_NAME[live["kind"]]
        meta = live["metadata"]
        # Where a body is sent the server looks at nothing else: a dry run that stands in the query alone deletes.
        dry: Object = {"dryRun": ["All"]} if dry_run else {}
        preconditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        body = {"preconditions": preconditions, "propagationPolicy": "Background", **dry}
        path = kind.path(meta["namespace"], meta["name"])
        try:
            self.request("DELETE", path, body=body, query={"dryRun": "All"} if dry_run else {}, ask=ask)
        except NotFound:
            return False
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
        answer = self._send(
            "GET", kind.path(namespace), query, timeout=(KUBE_REQUEST[0], seconds + WATCH_SLACK), read=False
        )
        rest = b""
        try:
            if answer.status != 200:
                raise refusal("GET", kind.path(namespace), answer.status, answer.data)
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
            path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
            answer = self._send("GET", path, query, accept="*/*")
        except FAULTS:
            return ""
        text = str(answer.data.decode("utf-8", "replace"))
        return "" if answer.status != 200 or text.startswith(_NO_LOG) else text

    @staticmethod
    def _library() -> Any:
        # Who opens streams has imported it before: _rollout.gateway.
        from ansible_collections.digitalsys.agents.plugins.module_utils._kube import library

        return library

    def load_streams(self) -> None:
        """What port_forward and exec need is loaded by the library when it is first asked for, which takes most of a
        second: to be called where there is time."""
        self._library().pods_api(self._access.configuration())

    def port_forward(self, namespace: str, pod: str, port: int, seconds: float) -> Any:
        """A socket to the pod's port through the API server (pod addresses are not reachable from AWX or a laptop)."""
        return self._library().port_forward(self._access.configuration(), namespace, pod, port, seconds)

    def exec(self, namespace: str, pod: str, container: str, command: list[str]) -> str | None:
        """What a command in the container prints; None where it did not come to run. Its words stand in the API
        server's audit log: never a value."""
        library = self._library()
        try:
            return str(library.execute(self._access.configuration(), namespace, pod, container, command))
        except library.NoStream as error:
            if refused_handshake(error) == 403:
                raise refusal("create", f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", 403, b"") from None
            return None
        except FAULTS:
            return None

    def close(self) -> None:
        self._access.pool.clear()


def _transport_words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(error).__name__}: {reason}".splitlines()[0][:160]


def _retry_after(answer: Any) -> float | None:
    try:
        return float(answer.headers["Retry-After"])
    except (KeyError, TypeError, ValueError):
        return None
