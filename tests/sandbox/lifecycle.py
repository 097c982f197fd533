"""Up and down: the order of things, and what makes both safe to interrupt and to repeat."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from . import (
    build,
    cgroups,
    cluster,
    config,
    containers,
    debian,
    environment,
    images,
    kwok,
    leftovers,
    network,
    parts,
    pki,
    process,
    report,
    seed,
    vault,
)
from .addresses import REGISTRY
from .errors import PartDied, SandboxError
from .paths import (
    BIN,
    CACHE,
    CHECKOUT,
    HOSTPATH_LINK,
    IMAGE_STORE,
    LOGS,
    OWNER,
    RUN,
    SECRETS,
)
from .steps import Steps

T = TypeVar("T")
#: There while a sandbox uses the image store. A reboot empties the run folder, but not the store of its containers.
_IN_USE = IMAGE_STORE / "in-use"
#: The definitions without which ESO does not start, given the reconcilers that its command line switches off.
_CRDS = (
    "externalsecrets.external-secrets.io",
    "secretstores.external-secrets.io",
    "generatorstates.generators.external-secrets.io",
)


@contextmanager
def _locked() -> Iterator[None]:
    """One up or down at a time. The lock is on the run folder itself, so that nothing outside it is left."""
    while True:
        RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(RUN, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A "down" may have removed the folder between our open and our lock.
            if RUN.exists() and os.path.samestat(os.fstat(handle), RUN.stat()):
                break
        except BlockingIOError:
            os.close(handle)
            raise SandboxError(f"another up or down is at work in {RUN} (of {report.owner() or 'unknown'})") from None
        os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def _refuse_foreign() -> None:
    """SandboxError when a sandbox of another checkout runs. Its remains after a crash are nobody's."""
    owner, cache = report.owner("checkout"), report.owner("cache")
    running = [part.name for part in process.recorded() if process.alive(part)]
    if running and owner and owner != str(CHECKOUT) and Path(owner).exists():
        raise SandboxError(
            f"the sandbox of {owner} runs on this machine ({len(running)} parts), and there is room for one: "
            f"its addresses and ports exist once. Take it down there: make -C {owner} sandbox-down"
        )
    if cache and cache != str(CACHE):
        raise SandboxError(
            f"the sandbox here was started with another cache folder; take it down with the same: "
            f"XDG_CACHE_HOME={Path(cache).parent} make sandbox-down"
        )


def up(with_images: bool = True) -> None:
    """Brings the sandbox up, whatever state the machine is in; does nothing when it is up and healthy."""
    if os.geteuid():
        raise SandboxError("the sandbox needs root: it makes a bridge, mounts and control groups")
    steps = Steps()
    with ThreadPoolExecutor(max_workers=1) as background:
        pushes: list[Future[None]] = []

        def registry_ready() -> None:
            if with_images:
                pushes.append(background.submit(_ensure_images, steps))

        # Images may take minutes: what is locked is only the start.
        with _locked():
            _refuse_foreign()
            if report.healthy():
                seed.refresh_permissions()
                print("sandbox: is up already", flush=True)
                registry_ready()
            else:
                try:
                    _start(steps, registry_ready)
                except SandboxError:
                    if any(not job.done() for job in pushes):
                        print("sandbox: it failed; its images, which are being made, are finished first", flush=True)
                    raise
                print(f"sandbox: up in {time.monotonic() - steps.begun:.1f} s; logs in {LOGS}", flush=True)
        for job in pushes:
            if not job.done() and wait(pushes, timeout=1).not_done:
                print("sandbox: its images are still being made or pushed", flush=True)
            job.result()


def _start(steps: Steps, registry_ready: Callable[[], None]) -> None:
    """From whatever state the machine is in to a seeded sandbox."""
    debian.ensure()
    process.mark_own_children()
    if any(RUN.iterdir()) or _IN_USE.exists() or process.marked():
        with steps.step("remains of an earlier sandbox removed"):
            _clear()
    # First of all: images that are missing are made beside the programs, and mostly wait for the network.
    with steps.step("registry ready"):
        config.write_registry()
        parts.start(parts.registry())
    registry_ready()
    built = build.build_all()
    with steps.step("certificates, files, bridge"):
        _prepare(built)
    try:
        _start_parts(steps, built)
    except PartDied:
        raise
    except SandboxError:
        process.check(part.name for part in process.recorded())  # the better reason, if a part died meanwhile
        raise
    environment.write()


def _prepare(built: dict[str, Path]) -> None:
    IMAGE_STORE.mkdir(parents=True, exist_ok=True)
    _IN_USE.touch()
    OWNER.write_text(json.dumps({"checkout": str(CHECKOUT), "cache": str(CACHE)}))
    for folder in (BIN, LOGS, SECRETS):
        folder.mkdir(parents=True, exist_ok=True)
    SECRETS.chmod(0o700)
    vault.make_store()
    network.up()
    cgroups.create()
    if not leftovers.link_volumes():
        raise SandboxError(f"{HOSTPATH_LINK} is there and not ours; move it away, volumes must go there")
    pki.write_all()
    config.write_all()
    parts.remember_programs(built)
    kwok.write_stages(built[build.KWOK_STAGES])
    for name in ("kubectl", "vault"):
        (BIN / name).symlink_to(built[name])


def _ensure_images(steps: Steps) -> None:
    with steps.step("images in the registry"):
        images.ensure(REGISTRY)


def _start_parts(steps: Steps, built: dict[str, Path]) -> None:
    """Starts the parts, each as soon as what it needs is there."""
    known = parts.all_parts()

    def start(name: str) -> None:
        with steps.step(f"{name} ready"):
            parts.start(known[name])

    def vault_chain() -> dict[str, seed.AppRole]:
        start("vault")
        with steps.step("Vault initialised and seeded"):
            vault.initialise()
            return seed.vault_side()

    def containerd_chain() -> None:
        start("containerd")
        with steps.step("pause image"):
            containers.import_pause()

    def secrets_operator() -> None:
        with steps.step("definitions of External Secrets"):
            cluster.kubectl(
                "apply", "--server-side", "--validate=false", "-f", "-", stdin=_definitions(built[build.ESO_CRDS])
            )
            # ESO ends at once where it does not find a kind in the server's own list, which follows later.
            for name in _CRDS:
                process.wait_until(f"{name} is served", partial(_is_served, name), 30)
        start("external-secrets")

    with ThreadPoolExecutor(max_workers=12) as pool:
        jobs: list[Future[Any]] = []

        def launch(job: Callable[[], T]) -> Future[T]:
            future = pool.submit(job)
            jobs.append(future)
            return future

        try:
            vault_ready = launch(vault_chain)
            containerd_ready = launch(containerd_chain)
            start("etcd")
            start("kube-apiserver")

            def node() -> None:
                containerd_ready.result()
                start("kubelet")

            def fleet() -> None:
                with steps.step("namespaces and identities"):
                    seed.cluster_side()
                agents = vault_ready.result()
                with steps.step("the agents' access"):
                    seed.access_secrets(agents)

            launch(lambda: start("kube-controller-manager"))
            launch(node)
            launch(secrets_operator)
            launch(fleet)
            launch(lambda: start("kube-scheduler"))
            launch(lambda: start("kwok"))
            wait(jobs, return_when=FIRST_EXCEPTION)
            for job in jobs:
                # The one that failed comes before those that only gave up because of it: nobody gave up yet.
                if job.done():
                    job.result()
        except BaseException:
            process.abandon.set()
            raise


def _definitions(bundle: Path) -> str:
    """The custom resource definitions that ESO needs, out of all that it ships."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wanted = [text for text in bundle.read_text().split("\n---\n") if any(f"name: {name}\n" in text for name in _CRDS)]
    found = [yaml.load(text, loader) for text in wanted]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": found})


def _is_served(definition: str) -> bool:
    """Whether the server names the kind in what it says of the group's preferred version."""
    plural, _dot, group = definition.partition(".")
    preferred = ((cluster.get(f"/apis/{group}") or {}).get("preferredVersion") or {}).get("groupVersion", "")
    told = cluster.get(f"/apis/{preferred}") if preferred else None
    return any(entry["name"] == plural for entry in (told or {}).get("resources") or [])


def _clear() -> None:
    """Takes away everything of a sandbox except the run folder itself, in whatever state it is."""
    known: dict[str, parts.Part] = {}
    with suppress(SandboxError, KeyError):
        known = parts.all_parts()
    for found in reversed(process.recorded()):
        part = known.get(found.name)
        process.stop(found, part.grace if part else 5.0)
    process.kill(process.marked())  # containerd's shims, and what was started but never written down
    cgroups.remove()  # what runs in the pods
    network.down()
    leftovers.clear()
    containers.remove_containers()
    leftovers.unmount(RUN, IMAGE_STORE)
    _IN_USE.unlink(missing_ok=True)
    for path in RUN.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def down() -> None:
    """Takes the sandbox down and leaves nothing of it but the cache."""
    if not RUN.exists():
        print("sandbox: is not up", flush=True)
        return
    steps = Steps()
    with _locked():
        _refuse_foreign()
        with steps.step("stopped and removed"):
            _clear()
            RUN.rmdir()
