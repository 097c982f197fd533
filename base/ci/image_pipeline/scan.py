"""A scanner's findings: what can be mended and is bad stops the image, unless somebody allowed it for a time.

The report is grype's JSON. Its vulnerability data come from the internet, so the scanner itself is the workflow's.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_pipeline.tools import Failed, say, summary

BAD = ("Critical", "High")
_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    id: str
    severity: str
    package: str
    version: str
    mended_in: str

    def line(self) -> str:
        return f"{self.severity:8} {self.id}  {self.package} {self.version}, mended in {self.mended_in}"


@dataclass(frozen=True)
class Allowed:
    """A finding that is lived with: why, and the last day on which it is."""

    id: str
    reason: str
    until: datetime.date


def findings(report: str) -> list[Finding]:
    """Those of a report that are high or critical and have a mended version, each once, the worst first."""
    try:
        content = json.loads(report)
        distribution, matches = content.get("distro", {}).get("name"), content["matches"]
        chosen = {_finding(match) for match in matches if _counts(match["vulnerability"])}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failed(
            f"the scanner's report cannot be read ({error!r})", "It is grype's, with output-format json."
        ) from None
    if not distribution:
        # Without it the scanner has looked up no package of Debian's, and finds nothing.
        raise Failed("the scanner did not see which distribution the image is", "Give it the archive itself.")
    return sorted(chosen, key=lambda finding: (BAD.index(finding.severity), finding.package, finding.id))


def _counts(vulnerability: dict[str, Any]) -> bool:
    return vulnerability["severity"] in BAD and vulnerability.get("fix", {}).get("state") == "fixed"


def _finding(match: dict[str, Any]) -> Finding:
    vulnerability, artifact = match["vulnerability"], match["artifact"]
    versions = ", ".join(vulnerability["fix"].get("versions") or ["a later version"])
    return Finding(vulnerability["id"], vulnerability["severity"], artifact["name"], artifact["version"], versions)


def allowed(text: str) -> list[Allowed]:
    """The list in base/ci/allowed-findings.toml; Failed for an entry without id, reason or day."""
    try:
        entries = tomllib.loads(text).get("allowed", [])
        listed = [Allowed(str(entry["id"]), str(entry["reason"]).strip(), entry["until"]) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(f"the list of allowed findings cannot be read ({error!r})", _FORM) from None
    for entry in listed:
        if not entry.id or not entry.reason or type(entry.until) is not datetime.date:
            raise Failed(f"the list of allowed findings is incomplete at {entry.id or 'an entry without id'}", _FORM)
    return listed


_FORM = 'Each is [[allowed]] with id = "…", reason = "…" and until = 2027-01-31'


def judge(found: list[Finding], allow: list[Allowed], today: datetime.date) -> tuple[list[Finding], list[str]]:
    """(findings that stop the image, remarks for people). An entry counts to the end of its day."""
    valid = {entry.id for entry in allow if entry.until >= today}
    remarks = [f"{entry.id} was allowed until {entry.until}" for entry in allow if entry.until < today]
    known = {finding.id for finding in found}
    remarks += [
        f"{entry.id} is allowed and not found any more: take it out" for entry in allow if entry.id not in known
    ]
    return [finding for finding in found if finding.id not in valid], remarks


def scan(report: Path, allow_list: Path) -> None:
    try:
        text = report.read_text()
    except OSError as error:
        raise Failed(
            f"no report of a scanner: {error}", "grype sbom:dist/sbom.json -o json > dist/findings.json"
        ) from None
    found = findings(text)
    stopping, remarks = judge(found, allowed(allow_list.read_text()), datetime.datetime.now(datetime.UTC).date())
    for line in [finding.line() for finding in stopping[:_SHOWN]] + remarks:
        say(f"scan: {line}")
    if not stopping:
        say(f"scan: nothing that stops the image ({len(found)} allowed)")
        summary(f"Scan: nothing that stops the image ({len(found)} allowed).")
        return
    summary("| finding | in | mended in |", "| --- | --- | --- |")
    summary(*(f"| {one.severity} {one.id} | {one.package} {one.version} | {one.mended_in} |" for one in stopping))
    raise Failed(
        f"{len(stopping)} high or critical findings that can be mended",
        "Build with newer versions; what must be lived with for a time stands in base/ci/allowed-findings.toml.",
    )
