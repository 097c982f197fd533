"""A local stand-in for docker.io/library/node:22-bookworm, where no container registry can be reached.

Made from Debian's bookworm (debootstrap, from the machine's own apt sources) and Node and npm from npm's packages of
those names. It stays in the build's own storage under the real image's name, and is never pushed anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

NAME = "docker.io/library/node:22-bookworm"
#: Its mark, which images built on it keep: base/ci/push sends none of them to a registry elsewhere.
MADE_OF = "io.digitalsys.stand-in"
NODE = "22.23.3"
#: The line of npm that Node 22 ships.
NPM = "10.9.9"
SUITE = "bookworm"
#: Where the stand-in keeps the certificate authorities that this machine trusts: not in the system's bundle, which
#: installing ca-certificates would write anew.
CA_IN_IMAGE = "/usr/local/share/machine-ca.pem"
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}

Run = Callable[..., str]


def machine_ca() -> Path | None:
    """The file of certificate authorities that Node is told to trust on this machine, if there is one."""
    named = os.environ.get("NODE_EXTRA_CA_CERTS", "")
    return Path(named) if named and Path(named).is_file() else None


def made_of() -> str:
    """What the stand-in is made of, as hexadecimal digits: this file and the machine's own authorities."""
    ca = machine_ca()
    return hashlib.sha256(Path(__file__).read_bytes() + (ca.read_bytes() if ca else b"")).hexdigest()


def debian_sources() -> list[tuple[str, str, str]]:
    """(URI, suite, components) of bookworm's archives, as this machine's apt reaches them. The first has the base.

    A machine of another Debian release gives its mirrors; a machine that is no Debian has none: SystemExit.
    """
    form = "$(LABEL)|$(CODENAME)|$(REPO_URI)|$(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sources: dict[str, str] = {}
    for line in listing.splitlines():
        label, codename, uri, component = line.split("|")
        if component != "main":
            continue
        if label == "Debian-Security":
            sources[f"{SUITE}-security"] = uri
        elif label == "Debian":
            suffix = "-updates" if codename.endswith("-updates") else ""
            sources[f"{SUITE}{suffix}"] = uri
    if SUITE not in sources:
        raise SystemExit("sandbox: apt knows no Debian archive here (apt-get update missing, or no Debian machine)")
    order = [SUITE, f"{SUITE}-updates", f"{SUITE}-security"]
    return [(sources[suite], suite, "main") for suite in order if suite in sources]


def is_possible() -> bool:
    """Whether this machine's apt knows a Debian archive to make it from."""
    try:
        return bool(debian_sources())
    except (SystemExit, subprocess.CalledProcessError, FileNotFoundError):
        return False


def _npm_package(name: str, folder: Path) -> Path:
    """The unpacked npm package `name@version`, by the machine's npm, from the registry that it is set to."""
    answer = subprocess.run(
        ["npm", "pack", "--json", "--pack-destination", str(folder), name],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        raise SystemExit(f"sandbox: npm pack {name} failed:\n{answer.stderr[-2000:]}")
    packed = json.loads(answer.stdout)
    entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    target = folder / name.replace("@", "-")
    target.mkdir()
    subprocess.run(["tar", "-xzf", str(folder / Path(entry["filename"]).name), "-C", str(target)], check=True)
    return target / "package"


def _install_node(root: Path) -> None:
    architecture = _ARCHITECTURES[platform.machine()]
    with tempfile.TemporaryDirectory() as folder:
        node = _npm_package(f"node-linux-{architecture}@{NODE}", Path(folder))
        shutil.copy2(node / "bin/node", root / "usr/local/bin/node")
        npm = _npm_package(f"npm@{NPM}", Path(folder))
        shutil.copytree(npm, root / "usr/local/lib/node_modules/npm", symlinks=True)
    for program in ("npm", "npx"):
        script = root / f"usr/local/lib/node_modules/npm/bin/{program}-cli.js"
        script.chmod(0o755)
        (root / "usr/local/bin" / program).symlink_to(f"../lib/node_modules/npm/bin/{program}-cli.js")


def build(buildah: Run, say: Callable[[str], None], downloads: Path) -> None:
    """Makes the stand-in in buildah's storage. To be called in a mount namespace of its own: mounts are left there.

    `buildah` runs one buildah command and returns its output. Debian's packages are kept in the folder `downloads`.
    """
    sources = debian_sources()
    kept = downloads / "debootstrap"
    kept.mkdir(parents=True, exist_ok=True)
    container = buildah("from", "scratch").strip()
    try:
        root = Path(buildah("mount", container).strip())
        say(f"{NAME} is made here: Debian {SUITE} by debootstrap")
        answer = subprocess.run(
            [
                *("debootstrap", "--variant=minbase", "--include=ca-certificates", f"--cache-dir={kept}"),
                *(SUITE, str(root), sources[0][0]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if answer.returncode:
            raise SystemExit(f"sandbox: debootstrap failed:\n{answer.stdout[-3000:]}")
        lines = [f"deb {uri} {suite} {components}\n" for uri, suite, components in sources]
        (root / "etc/apt/sources.list").write_text("".join(lines))
        for left in (*root.glob("var/cache/apt/archives/*.deb"), *root.glob("var/lib/apt/lists/*_*")):
            left.unlink()
        say(f"{NAME} is made here: Node {NODE}, npm {NPM}")
        _install_node(root)
        settings = ["--env", f"NODE_VERSION={NODE}", "--cmd", "node", "--label", f"{MADE_OF}={made_of()}"]
        if ca := machine_ca():
            shutil.copyfile(ca, root / CA_IN_IMAGE.lstrip("/"))
            settings += ["--env", f"NODE_EXTRA_CA_CERTS={CA_IN_IMAGE}", "--env", f"PIP_CERT={CA_IN_IMAGE}"]
        buildah("config", *settings, container)
        buildah("umount", container)
        buildah("commit", "--quiet", container, NAME)
    finally:
        buildah("rm", container)


def is_built(buildah: Run) -> bool:
    """Whether the storage has the stand-in, made of what it would be made of now."""
    try:
        inspected = json.loads(buildah("inspect", "--type", "image", NAME))
    except subprocess.CalledProcessError:
        return False
    labels = inspected["OCIv1"]["config"].get("Labels") or {}
    return labels.get(MADE_OF) == made_of()
