"""Tests of the image's pipeline. Its package lies where its scripts find it: in base/ci."""

from __future__ import annotations

import sys
from pathlib import Path

PIPELINE = str(Path(__file__).resolve().parents[3] / "base" / "ci")
if PIPELINE not in sys.path:
    sys.path.insert(0, PIPELINE)
