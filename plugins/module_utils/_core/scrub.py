# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No value leaves: every spelling of every secret is replaced before anything is shown, returned or logged."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
#: Shorter values are left alone: a secret 'a' would turn every word into noise.
SHORTEST = 6
_LEFT_AS_IT_IS = ("!'()*~", "!'()*~;,/?:@&=+$#", "$&+=:@")
_PERCENT = re.compile("%[0-9A-F]{2}")
FROM_ENVIRONMENT = (
    "K8S_AUTH_API_KEY",
    "K8S_AUTH_PASSWORD",
    "VAULT_TOKEN",
    "VAULT_SECRET_ID",
    "AGENTS_REGISTRY_PASSWORD",
)


def spellings(value: str) -> set[str]:
    """Raw, URL- and JSON-escaped, and base64 at its three alignments (a value may stand inside a longer text)."""
    value = value.encode("utf-8", "replace").decode()  # a lone surrogate has no spelling
    raw = value.encode()
    in_json = json.dumps(value)[1:-1]
    # Go, in which the servers are written, escapes these three as well.
    in_go = in_json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    found = {value, quote(value, safe=""), quote(value), quote_plus(value), repr(value)[1:-1]}
    found |= {in_json, in_go, json.dumps(value, ensure_ascii=False)[1:-1]}
    # JavaScript's encodeURIComponent and encodeURI, and Go's PathEscape, leave more as it is; some write hex small.
    found |= {quote(value, safe=safe) for safe in _LEFT_AS_IT_IS}
    found |= {_PERCENT.sub(lambda match: match[0].lower(), text) for text in found if "%" in text}
    encodings = {base64.b64encode(raw).decode().rstrip("=")}
    for shift in (0, 1, 2):
        # A character at either end may carry bits of a neighbour; those between are the value's alone.
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        encodings.add(encoded[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6])
    found |= encodings | {text.replace("+", "-").replace("/", "_") for text in encodings}
    return {text for text in found if len(text) >= SHORTEST}


class Scrubber:
    def __init__(self, values: Iterable[str]) -> None:
        texts: set[str] = set()
        for value in values:
            if isinstance(value, str) and len(value) >= SHORTEST:
                texts |= spellings(value)
                texts |= {
                    line for part in value.splitlines() if len(part.strip()) >= 16 for line in spellings(part.strip())
                }
        self._texts = sorted(texts, key=len, reverse=True)
        self._pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        # To compile the pattern takes longer than all the rest of a run with nothing to hide.
        if not any(one in text for one in self._texts):
            return text
        if self._pattern is None:
            self._pattern = re.compile("|".join(re.escape(one) for one in self._texts))
        return self._pattern.sub(MASK, text)

    def data(self, value: Any) -> Any:
        if not self._texts:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set)):
            return [self.data(item) for item in value]
        return value


def environment_secrets(environ: Mapping[str, str]) -> set[str]:
    return {environ[name] for name in FROM_ENVIRONMENT if environ.get(name)}
