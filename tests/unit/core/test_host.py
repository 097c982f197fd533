# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an operation is hosted: whatever happens in it, no value leaves and its folder is gone."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.digitalsys.agents.plugins.module_utils._core.context import Context, Params, Result
from ansible_collections.digitalsys.agents.plugins.module_utils._core.errors import AgentError, ErrorKind
from ansible_collections.digitalsys.agents.plugins.module_utils._core.host import perform, private_folder

SECRET = "hunter2-and-more"  # not a credential: what must not appear


def performed(operation: Any, environ: dict[str, str] | None = None, **more: Any) -> Result:
    given: dict[str, Any] = {"check_mode": False, "diff": False, "no_log_values": set(), **more}
    return perform(operation, {"name": "roberval"}, environ or {}, **given)


def everything(result: Result) -> str:
    return json.dumps(result)


@pytest.fixture
def folder() -> Iterator[list[str]]:
    """Where the operation put its folder; it must be gone when the test is over."""
    seen: list[str] = []
    yield seen
    assert seen
    assert not any(Path(one).exists() for one in seen)


@pytest.mark.parametrize(
    "raised",
    [
        ValueError(f"bad token {SECRET}"),
        KeyError(SECRET),
        RuntimeError(base64.b64encode(SECRET.encode()).decode()),
        UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
        OSError(13, SECRET, f"/{SECRET}"),
        AssertionError({"token": SECRET}),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_an_exception_nobody_foresaw_carries_no_value_out(raised: Exception, folder: list[str]) -> None:
    def operation(_params: Params, context: Context) -> Result:
        folder.append(context.private_folder)
        (Path(context.private_folder) / "client.key").write_text(SECRET)
        raise raised

    result = performed(operation)
    assert result["failed"] is True
    assert SECRET not in everything(result)
    assert base64.b64encode(SECRET.encode()).decode().rstrip("=") not in everything(result)
    assert type(raised).__name__ in result["msg"]
    assert result["error"]["kind"] == "internal"
    assert any("operation" in place for place in result["error"]["where"]), "where it happened is told"


def test_a_chained_exception_carries_no_value_out_either(folder: list[str]) -> None:
    def operation(_params: Params, context: Context) -> Result:
        folder.append(context.private_folder)
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            raise RuntimeError("outer") from error

    assert SECRET not in everything(performed(operation))


def test_a_value_that_was_read_in_the_operation_is_masked_in_its_error(folder: list[str]) -> None:
    def operation(_params: Params, context: Context) -> Result:
        folder.append(context.private_folder)
        context.secrets.add(SECRET)
        raise AgentError(
            ErrorKind.VERIFY, f"the gateway said {SECRET}", f"try {SECRET}", {"log": [SECRET], SECRET: {"a": SECRET}}
        )

    result = performed(operation)
    assert SECRET not in everything(result)
    assert result["msg"] == "the gateway said ***\ntry ***"
    assert result["error"]["kind"] == "verify"


def test_a_value_that_was_read_in_the_operation_is_masked_in_its_result(folder: list[str]) -> None:
    def operation(_params: Params, context: Context) -> Result:
        folder.append(context.private_folder)
        context.secrets.add(SECRET)
        return {"changed": True, "diff": [{"after": {"x": SECRET}}]}

    assert performed(operation) == {"changed": True, "diff": [{"after": {"x": "***"}}]}


@pytest.mark.parametrize(
    "given",
    [
        {"no_log_values": {SECRET}},
        {"environ": {"VAULT_TOKEN": SECRET}},
        {"environ": {"K8S_AUTH_API_KEY": SECRET}},
        {"environ": {"AGENTS_REGISTRY_PASSWORD": SECRET}},
    ],
)
def test_what_the_operation_was_given_to_log_in_with_is_a_secret_from_the_beginning(given: dict[str, Any]) -> None:
    lines: list[str] = []

    def operation(_params: Params, context: Context) -> Result:
        context.progress(f"logging in with {SECRET}")
        return {"changed": False, "seen": SECRET}

    assert performed(operation, show=lines.append, **given) == {"changed": False, "seen": "***"}
    assert lines == ["logging in with ***"]


def test_a_progress_line_is_masked_by_what_was_read_until_then() -> None:
    lines: list[str] = []

    def operation(_params: Params, context: Context) -> Result:
        context.secrets.add(SECRET)
        context.progress(f"read {SECRET}")
        return {}

    performed(operation, show=lines.append)
    assert lines == ["read ***"]


def test_without_a_display_progress_goes_nowhere() -> None:
    def operation(_params: Params, context: Context) -> Result:
        context.progress("nobody listens")
        return {"changed": False}

    assert performed(operation) == {"changed": False}


def test_a_failure_says_whether_something_was_changed_on_the_way() -> None:
    def operation(_params: Params, _context: Context) -> Result:
        raise AgentError(ErrorKind.ROLLOUT, "no", "", {"changes": [{"kind": "Deployment"}]})

    assert performed(operation)["changed"] is True


def test_a_failure_before_the_first_write_changed_nothing() -> None:
    def operation(_params: Params, _context: Context) -> Result:
        raise AgentError(ErrorKind.INVALID, "no", "do this")

    result = performed(operation)
    assert (result["failed"], result["changed"], result["msg"]) == (True, False, "no\ndo this")
    assert result["error"] == {"kind": "invalid", "message": "no", "hint": "do this"}


def test_the_operation_sees_what_the_user_asked_for() -> None:
    def operation(params: Params, context: Context) -> Result:
        return {
            "name": params["name"],
            "check": context.check_mode,
            "diff": context.diff,
            "home": context.environ["HOME"],
        }

    result = performed(operation, environ={"HOME": "/home/alice"}, check_mode=True, diff=True)
    assert result == {"name": "roberval", "check": True, "diff": True, "home": "/home/alice"}


def test_the_private_folder_is_private() -> None:
    with private_folder() as folder:
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_private_folder_is_gone_even_when_the_process_is_told_to_end(
    raised: type[BaseException], folder: list[str]
) -> None:
    def operation(_params: Params, context: Context) -> Result:
        folder.append(context.private_folder)
        raise raised

    with pytest.raises(raised):
        performed(operation)
