"""A credential for the registry that ends by itself: doctl asks DigitalOcean for it."""

from __future__ import annotations

import os

from image_pipeline.tools import Failed, ToolFailed, run, say

#: Long enough for a push of all layers and its retries; doctl's own default is a month.
SECONDS = 3600


def login() -> None:
    """skopeo, and actions that attest, find it in ~/.docker/config.json. doctl reads DIGITALOCEAN_ACCESS_TOKEN."""
    if not os.environ.get("DIGITALOCEAN_ACCESS_TOKEN"):
        raise Failed("DIGITALOCEAN_ACCESS_TOKEN is not set", "It is the secret DIGITALOCEAN_TOKEN (docs/images.md).")
    try:
        run("doctl", "registry", "login", f"--expiry-seconds={SECONDS}", timeout=120)
    except ToolFailed as error:
        raise Failed(
            f"DigitalOcean gives no credential for the registry: {error.said}",
            "Look at the secret DIGITALOCEAN_TOKEN of the environment `registry`: a token that may write registries.",
        ) from None
    say(f"login: a credential for {SECONDS // 60} minutes")
