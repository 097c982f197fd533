"""The hand-over by a pull request: a branch on top of the base, with one commit that sets the inventory's image.

The branch is this program's own: it is made anew each time, and what others commit there is lost. The work is done in
a repository of its own that is thrown away, so that the checkout stays as it is, and its `.git` with it.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from image_pipeline import github, given
from image_pipeline.clone import Clone
from image_pipeline.inventory import KEY, image_in, with_image
from image_pipeline.tools import Failed, say, summary

SITE = "https://github.com"


@dataclass(frozen=True)
class Order:
    """What is wanted. remote: another address for Git than the repository's own."""

    image: given.Image
    repository: str
    site: str
    file: str
    branch: str
    base: str
    remote: str

    @property
    def title(self) -> str:
        return f"New agent image {self.image.short}"


def order(file: str, branch: str, base: str, remote: str) -> Order:
    repository = given.needed("GITHUB_REPOSITORY", "owner/name; a workflow has it.")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise Failed(f"GITHUB_REPOSITORY is {repository!r}", "owner/name")
    if branch == base:
        raise Failed(f"--branch and --base are both {base}", "The branch is overwritten: give it a name of its own.")
    site = given.address("GITHUB_SERVER_URL", SITE)
    return Order(given.image(), repository, site, file, branch, base, remote or f"{site}/{repository}.git")


def hand_over(wanted: Order) -> None:
    """Opens a pull request or moves the open one; does nothing where that one, or the base, has the image already."""
    who = github.login(wanted.repository)
    pulls = github.Pulls(github.server(wanted.repository, who), wanted.repository, wanted.branch, wanted.base)
    pull = pulls.open_one()
    with tempfile.TemporaryDirectory(prefix="handover-") as folder:
        clone = Clone(Path(folder), wanted.remote, wanted.site, who.token)
        theirs = clone.fetch(wanted.base, wanted.branch)
        text = clone.read(wanted.file)
        if image_in(text) == wanted.image.reference:
            tell(f"Nothing to do: {wanted.base} has this image already")
            return
        clone.commit(wanted.file, with_image(text, wanted.image.reference), wanted.title)
        moves = not clone.is_same(theirs)
        if moves:
            clone.push(wanted.branch, theirs)
    if pull and pull.title == wanted.title and not moves:
        tell(f"Nothing to do: pull request #{pull.number} has this image already", pull)
    elif pull:
        tell(f"Pull request #{pull.number} was moved to this image", pulls.move(pull, wanted.title, body(wanted)))
    else:
        pull = create(pulls, wanted)
        tell(f"Pull request #{pull.number} was opened", pull)


def create(pulls: github.Pulls, wanted: Order) -> github.Pull:
    try:
        return pulls.create(wanted.title, body(wanted))
    except Failed as failure:
        page = f"{wanted.site}/{wanted.repository}/compare/{wanted.base}...{wanted.branch}?expand=1"
        raise Failed(str(failure), f"{failure.hint} The branch is pushed; by hand: {page}") from None


def body(wanted: Order) -> str:
    """The pull request's text."""
    version, revision = given.optional("OPENCLAW_VERSION"), given.optional("IMAGE_REVISION")
    return "\n".join(
        [
            f"Sets `{KEY}` in `{wanted.file}` to the image that was built, tested and pushed:",
            "",
            f"- image: `{wanted.image.reference}`",
            *([f"- OpenClaw: {version}"] if version else []),
            *([f"- built from: {revision}"] if revision else []),
            "",
            "After the merge, `rollout.yml` brings it to the fleet, the canaries first. A newer image moves this pull "
            "request; commits of others on its branch are lost then.",
        ]
    )


def tell(what: str, pull: github.Pull | None = None) -> None:
    say(f"handover: {what}" + (f": {pull.page}" if pull else ""))
    summary("### Pull request", "", what + (f": [{pull.title}]({pull.page})" if pull else ""), "")
