"""The sandbox's command line: python -m tests.sandbox up | down | status | env | logs."""

from __future__ import annotations

import argparse
import sys

from . import environment, golang, lifecycle, report
from .errors import SandboxError


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring it up (nothing to do when it is)")
    up.add_argument("--without-images", action="store_true", help="do not build and push the agents' images")
    commands.add_parser("down", help="take it down; only the cache stays")
    commands.add_parser("status", help="a table of its parts; exit code 1 when one is dead")
    commands.add_parser("env", help="export lines for a shell")
    logs = commands.add_parser("logs", help="where the logs are, and the end of each")
    logs.add_argument("--lines", type=int, default=15, help="how many lines of each (default: 15)")
    commands.add_parser("clean-build-cache", help="empty Go's caches; what was built stays")
    return parser.parse_args()


def main() -> int:
    """The exit code: 0, or 1 with one clear message on stderr."""
    arguments = _arguments()
    try:
        if arguments.command == "up":
            lifecycle.up(with_images=not arguments.without_images)
        elif arguments.command == "down":
            lifecycle.down()
        elif arguments.command == "status":
            return report.status()
        elif arguments.command == "env":
            print(environment.lines(), end="")
        elif arguments.command == "logs":
            report.logs(arguments.lines)
        else:
            golang.clean_caches()
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
