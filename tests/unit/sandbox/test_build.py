"""What decides whether a program is built, what a reduced module is made of, and what is said of the time left."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sandbox import build, golang, progress, reduce
from tests.sandbox.errors import SandboxError
from tests.sandbox.reduce import Reduction

VAULT = next(part for part in build.PARTS if part.name == "vault")


@pytest.fixture(autouse=True)
def one_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "version", lambda _: (1, 26, 6))


def test_the_key_follows_flags_programs_and_what_a_module_is_reduced_to() -> None:
    parts = (
        VAULT,
        replace(VAULT, flags=()),
        replace(VAULT, ldflags="-X a=b"),
        replace(VAULT, programs={"vault": "example.com/another"}),
        replace(VAULT, reductions=()),
        replace(VAULT, reductions=VAULT.reductions[:1]),
    )
    assert len({build.key(part, "go") for part in parts}) == len(parts)
    assert build.key(VAULT, "go") == build.key(replace(VAULT, usual=1), "go")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("github.com/hashicorp/vault", "vault"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("example.com/tool/v10", "tool"),
        ("example.com/v1", "v1"),
    ],
)
def test_a_program_is_called_what_go_calls_it(package: str, name: str) -> None:
    assert build.output_name(package) == name


def test_no_two_programs_of_a_part_come_out_under_one_name() -> None:
    for part in build.PARTS:
        assert len({build.output_name(package) for package in part.programs.values()}) == len(part.programs)


REDUCTION = Reduction(
    "example.com/m",
    (("all.go", r'^\t_ "example.com/(?!kept).*$', ""), ("cloud/large.go", r"^(func .*\n)([^}].*\n)*", r"\1\treturn\n")),
)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A part's go.mod, and a module of it in a cache that nobody may write to."""
    module = tmp_path / "cache"
    (module / "cloud").mkdir(parents=True)
    (module / "all.go").write_text('package m\n\t_ "example.com/left"\n\t_ "example.com/kept"\n')
    (module / "cloud" / "large.go").write_text("package cloud\n\nfunc f() {\n\tlarge.Do()\n}\n")
    (module / "docs").mkdir()
    (module / "docs" / "page.go").write_text("not Go")
    for path in (module, *module.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(golang, "module_folder", lambda *_: module)
    own = tmp_path / "own"
    own.mkdir()
    (own / "go.mod").write_text("module own\n")
    (own / "go.sum").write_text("sums\n")
    return own


def test_a_reduced_module_is_a_writable_copy(modules: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies" / "part"
    for _ in range(2):  # what a build that was killed left is no hindrance
        assert reduce.copies("go", modules, (REDUCTION,), folder) == folder / "go.mod"
    assert (folder / "go.mod").read_text() == f"module own\n\nreplace example.com/m => {folder / '0'}\n"
    assert (folder / "go.sum").read_text() == "sums\n"
    assert {str(path.relative_to(folder / "0")) for path in folder.rglob("*.go")} == {"all.go", "cloud/large.go"}
    assert (folder / "0" / "all.go").read_text() == 'package m\n\n\t_ "example.com/kept"\n'
    assert (folder / "0" / "cloud" / "large.go").read_text() == "package cloud\n\nfunc f() {\n\treturn\n}\n"
    assert all(path.stat().st_mode & stat.S_IWUSR for path in folder.rglob("*"))


def test_a_module_that_changed_is_not_reduced_in_silence(modules: Path, tmp_path: Path) -> None:
    changed = replace(REDUCTION, changes=(("all.go", "example.org", ""),))
    with pytest.raises(SandboxError, match=r"example.com/m: nothing in all\.go is like example\.org"):
        reduce.copies("go", modules, (changed,), tmp_path / "copies")


def test_what_go_says_is_shown_when_it_fails(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    go.chmod(0o755)
    with pytest.raises(SandboxError, match=r"go list failed in \S+; go ended with 1:\nno such module"):
        golang.ask(str(go), tmp_path, "list")


def _programs(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress, "_LAST_TIME", tmp_path / "last.json")
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_what_is_done_and_how_fast(tmp_path: Path, clock: list[float]) -> None:
    told = progress.Progress({"one": 100, "two": 300}, programs=3)
    with told.part("one", 10, _programs(tmp_path / "one", "a", "b")):
        assert told.left("one") == 400
        told.compiled = 5
        clock[0] = 100
        assert told.left("one") == pytest.approx(350 * 2)  # half as fast as foretold
        told.compiled = 10
        clock[0] = 200
    with told.part("two", 10, _programs(tmp_path / "two")):
        assert told.left("two") == pytest.approx(300 * 2)
    assert json.loads((tmp_path / "last.json").read_text()) == {"one": 200}, "the second compiled next to nothing"


def test_the_last_time_counts_more_than_the_table(tmp_path: Path, clock: list[float]) -> None:
    (tmp_path / "last.json").write_text('{"one": 40, "gone": 7}')
    told = progress.Progress({"one": 100, "two": 300}, programs=3)
    with told.part("one", 10, _programs(tmp_path / "one")):
        assert told.left("one") == 340
    (tmp_path / "last.json").write_text("no JSON")
    assert progress.Progress({"one": 100}, programs=1).left("one") == 100


@pytest.mark.parametrize(("seconds", "words"), [(3, "about a minute"), (89, "about a minute"), (660, "some 11 min")])
def test_times_are_told_roughly(seconds: float, words: str) -> None:
    assert progress.roughly(seconds) == words


def test_each_program_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_LAST_TIME", tmp_path / "last.json")
    told = progress.Progress({"one": 660}, programs=3)
    seen = ""
    with told.part("one", 10, _programs(tmp_path / "one")):
        _programs(tmp_path / "one", "a")
        while "to go" not in seen:
            seen += capsys.readouterr().out
    assert seen == "sandbox: built 1 of 3 programs, some 11 min to go\n"
