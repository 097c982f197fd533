"""ansible-test sanity: all its tests, with no ignore file, under this environment's Python, in no container."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.sandbox.paths import alone

from .gate import SITE_PACKAGES, GateFailed, environment, run, scratch
from .tree import copy_collection, copy_dependencies

#: ansible-test fetches get-pip.py from a site of its own. In its place stands this module, which runs the wheel of the
#: same pip. Its two options are get-pip's, not pip's.
STAND_IN = '''\
"""Stands in for get-pip.py: installs with the pip out of the wheel beside this file."""

import runpy
import sys
from pathlib import Path

wheel = str(Path(__file__).with_name("{wheel}"))
sys.path.insert(0, wheel)
options = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.argv = ["pip", "install", "--quiet", *options, wheel]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''


def pip_version() -> str:
    """The pip that this ansible-test puts into its environments, read where it is written down."""
    source = (SITE_PACKAGES / "ansible_test/_internal/python_requirements.py").read_text()
    found = re.search(r"default_packages = dict\(\s*pip='([0-9.]+)'", source)
    if not found:
        raise GateFailed(f"ansible-test of ansible-core {version('ansible-core')} no longer says which pip it wants")
    return found[1]


def prepare_pip(home: Path) -> None:
    wanted = pip_version()
    cache = home / ".ansible" / "test" / "cache"
    wheel = cache / f"pip-{wanted}-py3-none-any.whl"
    if not wheel.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        run("python", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", cache, f"pip=={wanted}")
    (cache / f"get_pip_{wanted.replace('.', '_')}.py").write_text(STAND_IN.format(wheel=wheel.name))


#: No code of the collection: programs under other interpreters than Ansible's, inside images and before any is there.
_FOREIGN = (".ci", "base", "tests/sandbox/testgateway")


def sanity() -> str:
    # A home of its own: the environments of its tests are kept there (a cold run makes a dozen of them).
    home = scratch("sanity-home")
    with alone(home / "lock"), tempfile.TemporaryDirectory(prefix="agents-sanity-") as temporary:
        prepare_pip(home)
        root = Path(temporary)
        collection = copy_collection(root)
        for foreign in _FOREIGN:
            shutil.rmtree(collection / foreign)
        copy_dependencies(root)
        ignored = sorted(path.name for path in (collection / "tests" / "sanity").glob("ignore-*"))
        if ignored:
            raise GateFailed(f"no ignore files: {', '.join(ignored)}")
        python = ".".join(platform.python_version_tuple()[:2])
        env = environment(HOME=str(home), LC_ALL="C.UTF-8")
        sanity_tests = ("ansible-test", "sanity", "--color", "no", "--python", python)
        # pylint takes a second per file and more; the tests, which nobody installs, are for ruff and mypy.
        said, shut = [], []
        for words in (("--skip-test", "pylint"), ("--test", "pylint", "plugins/")):
            try:
                said.append(run(*sanity_tests, *words, cwd=collection, env=env))
            except GateFailed as why:
                shut.append(str(why))
        if shut:
            raise GateFailed("\n".join(shut))
        output = "".join(said)
        shutil.rmtree(collection / "tests" / "output", ignore_errors=True)
    ran = [line for line in output.splitlines() if line.startswith("Running sanity test")]
    return f"{len(ran)} tests"
