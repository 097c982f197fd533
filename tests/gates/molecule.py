"""All molecule scenarios, on the sandbox that the environment names."""

from __future__ import annotations

import os
import subprocess

from .gate import BIN


def main() -> None:
    molecule = str(BIN / "molecule")
    # A run that was killed leaves its notes: the next one would take its agents for prepared.
    subprocess.run([molecule, "reset", "--all", "--no-report"], capture_output=True, check=False)
    os.execv(molecule, [molecule, "test", "--all"])


if __name__ == "__main__":
    main()
