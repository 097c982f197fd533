"""A server's REST API with a token, which goes to that server alone. What goes wrong is told, without the token."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from image_pipeline.tools import Failed, scrubbed

_WORDS = 500
_TEMPORARY = (429, 502, 503, 504)


class Unreachable(Failed):
    """Nobody answered, or only half of the answer arrived."""


class Refused(Failed):
    """The server answered with an error. `said`: what it gave as the reason."""

    def __init__(self, what: str, hint: str, status: int, said: str) -> None:
        super().__init__(what, hint)
        self.status = status
        self.said = said


def is_temporary(failure: Failed) -> bool:
    """Whether the same request may well succeed in a minute."""
    return isinstance(failure, Unreachable) or (isinstance(failure, Refused) and failure.status in _TEMPORARY)


@dataclass(frozen=True)
class Server:
    """name: for people. setting: the variable that holds its address. hints: what to do next, by status of an error."""

    name: str
    setting: str
    address: str
    token: str = field(repr=False)
    hints: Mapping[int, str]
    seconds: float = 30

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, kind: type = dict) -> Any:
        """The answer's JSON, which is of this kind."""
        text = self.text(method, path, body, accept="application/json")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, kind):
            raise self._no_api(
                f"{method} {path} is answered by " + ("a page" if "<html" in text.lower() else "no JSON")
            )
        return answer

    def part(self, answer: Any, name: str, kind: type) -> Any:
        """A field of an answer, which is of this kind."""
        value = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(value, kind):
            raise self._no_api(f"an answer has no {name!r}")
        return value

    def _no_api(self, what: str) -> Failed:
        """An answer is not shown: it may hold a new token."""
        return Failed(
            f"what answers at {self.address} is not the API of {self.name}: {what}",
            f"Is {self.setting} right? A login page or a proxy in between answers so, too.",
        )

    def text(self, method: str, path: str, body: Mapping[str, Any] | None = None, accept: str = "*/*") -> str:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept, "User-Agent": "base/ci/handover"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with _OPENER.open(request, timeout=self.seconds) as answer:
                return self._read(answer)
        except urllib.error.HTTPError as error:
            raise self._refused(error, method, path) from None
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _read(self, answer: http.client.HTTPResponse | urllib.error.HTTPError) -> str:
        return scrubbed(answer.read().decode(errors="replace"), [self.token])

    def _unreachable(self, reason: object) -> Failed:
        if isinstance(reason, ssl.SSLError):
            return Failed(
                f"{self.name} at {self.address} shows no certificate that this machine trusts: {reason}",
                f"Look at {self.setting}; a certificate authority of your own is told by SSL_CERT_FILE.",
            )
        what = str(reason) or type(reason).__name__
        return Unreachable(
            f"{self.name} at {self.address} cannot be reached: {what}",
            f"Look at {self.setting}, and whether {self.name} runs; what a private network hides, a runner outside "
            "does not reach.",
        )

    def _refused(self, error: urllib.error.HTTPError, method: str, path: str) -> Failed:
        if 300 <= error.code < 400:
            where = scrubbed(error.headers.get("Location", "nowhere"), [self.token])
            return Failed(
                f"{self.name} at {self.address} sends us on to {where}; the token goes to no other address",
                f"If {self.name} lives there now, set {self.setting} to it.",
            )
        try:
            said = words(json.loads(self._read(error)))
        except (OSError, http.client.HTTPException, ValueError):
            said = ""  # a proxy's page: its status says as much
        what = f"{self.name} answers {error.code} {error.reason} to {method} {path}" + (f": {said}" if said else "")
        return Refused(what, self.hints.get(error.code, ""), error.code, said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_words: object) -> None:
        """A redirect is an error: urllib would hand the token on to wherever it points."""


def _opener() -> urllib.request.OpenerDirector:
    """Plain HTTP, which is for this machine alone, goes through no proxy."""
    proxies = {scheme: url for scheme, url in urllib.request.getproxies().items() if scheme != "http"}
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(proxies))


_OPENER = _opener()


def words(body: Any) -> str:
    """What an error's body says, in one line: AWX and GitHub write {detail or message: …} and {field: [reasons]}."""
    return " ".join(_words(body).split())[:_WORDS]


def _words(body: Any) -> str:
    if isinstance(body, dict):
        said = {key: text for key, value in body.items() if (text := _words(value))}
        for plain in ("documentation_url", "status"):
            said.pop(plain, None)
        return "; ".join(text if key in ("detail", "message") else f"{key}: {text}" for key, text in said.items())
    if isinstance(body, list):
        return "; ".join(filter(None, map(_words, body)))
    return "" if body is None else str(body)
