"""Builds the collection's tarball into the checkout."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.sandbox.paths import CHECKOUT

from .gate import GateFailed
from .package import build


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="agents-tarball-") as temporary:
        try:
            tarball = build(Path(temporary))
        except GateFailed as why:
            print(why, file=sys.stderr)
            return 1
        print(shutil.move(tarball, CHECKOUT / tarball.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
