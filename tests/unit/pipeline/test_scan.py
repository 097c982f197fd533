"""Which findings of a scanner stop an image."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from image_pipeline import build, scan
from image_pipeline.tools import Failed

TODAY = datetime.date(2026, 11, 27)


def match(identifier: str, severity: str = "High", state: str = "fixed", package: str = "curl") -> dict[str, Any]:
    fix = {"state": state, "versions": ["8.0"] if state == "fixed" else []}
    vulnerability = {"id": identifier, "severity": severity, "fix": fix}
    return {"vulnerability": vulnerability, "artifact": {"name": package, "version": "7.0"}}


def report(*matches: dict[str, Any]) -> str:
    return json.dumps({"distro": {"name": "debian"}, "matches": matches})


def test_high_and_critical_findings_count_where_they_can_be_mended() -> None:
    found = scan.findings(
        report(
            match("CVE-1", "High"),
            match("CVE-2", "Critical"),
            match("CVE-3", "Medium"),
            match("CVE-4", "High", "not-fixed"),
            match("CVE-5", "Critical", "wont-fix"),
            match("CVE-1", "High"),
        )
    )
    assert [finding.id for finding in found] == ["CVE-2", "CVE-1"]
    assert found[0].line() == "Critical CVE-2  curl 7.0, mended in 8.0"


def allow(identifier: str, days: int) -> scan.Allowed:
    return scan.Allowed(identifier, "for a test", TODAY + datetime.timedelta(days))


def test_an_allowed_finding_stops_nothing_until_its_last_day_is_over() -> None:
    found = scan.findings(report(match("CVE-1")))
    assert scan.judge(found, [allow("CVE-1", 0)], TODAY) == ([], [])
    stopping, remarks = scan.judge(found, [allow("CVE-1", -1)], TODAY)
    assert (stopping, remarks) == (found, ["CVE-1 was allowed until 2026-11-26"])


def test_an_entry_for_nothing_is_told() -> None:
    stopping, remarks = scan.judge([], [allow("CVE-9", 5)], TODAY)
    assert not stopping
    assert remarks == ["CVE-9 is allowed and not found any more: take it out"]


@pytest.mark.parametrize(
    "text",
    [
        '[[allowed]]\nid = "CVE-1"\nuntil = 2026-12-01\n',
        '[[allowed]]\nid = "CVE-1"\nreason = " "\nuntil = 2026-12-01\n',
        '[[allowed]]\nid = "CVE-1"\nreason = "x"\nuntil = "2026-12-01"\n',
        '[[allowed]]\nreason = "x"\nuntil = 2026-12-01\n',
        "[[allowed]\n",
        'allowed = "CVE-1"\n',
    ],
)
def test_an_entry_without_id_reason_or_day_is_refused(text: str) -> None:
    with pytest.raises(Failed, match="list of allowed findings"):
        scan.allowed(text)


def test_the_list_in_the_repository_can_be_read() -> None:
    scan.allowed((build.CONTEXT / "ci/allowed-findings.toml").read_text())


def test_its_example_is_an_entry() -> None:
    lines = (build.CONTEXT / "ci/allowed-findings.toml").read_text().split("#\n", 1)[1].splitlines()
    (entry,) = scan.allowed("\n".join(line.removeprefix("# ") for line in lines))
    assert entry.id == "CVE-2026-0001"


def test_findings_stop_the_image_and_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(report(match("CVE-1"), match("CVE-2", "Critical", package="git")))
    (tmp_path / "allowed.toml").write_text("")
    with pytest.raises(Failed, match="2 high or critical findings"):
        scan.scan(tmp_path / "report.json", tmp_path / "allowed.toml")
    assert "Critical CVE-2  git 7.0, mended in 8.0" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"matches": [{}]}'])
def test_a_report_that_cannot_be_read_is_no_clean_one(text: str) -> None:
    with pytest.raises(Failed, match="report cannot be read"):
        scan.findings(text)


def test_a_scanner_that_did_not_know_the_distribution_has_seen_nothing() -> None:
    with pytest.raises(Failed, match="did not see which distribution"):
        scan.findings(json.dumps({"matches": []}))


def test_without_a_report_nothing_passes(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no report"):
        scan.scan(tmp_path / "report.json", tmp_path / "allowed.toml")
