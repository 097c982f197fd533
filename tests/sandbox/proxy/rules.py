"""The faults: which requests they meet, and what happens to those."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum


class Action(Enum):
    """What happens to a request that a rule meets (after the rule's delay)."""

    PASS = "passed on"
    RESET = "reset before it was forwarded"
    LOSE = "answer lost"
    ANSWER = "answered by the proxy"
    TRUNCATE = "answer truncated"
    HOLD = "held"
    HOLD_ANSWER = "answer held"


@dataclass(frozen=True)
class Match:
    """Which requests: all that is said must hold.

    `path` is a regular expression, searched for in "path?query"; `front` the name of the front ("api", "vault").
    Of the requests that match, those from the `first` on (counted from 1) are met, `times` of them (None: no end).
    """

    methods: frozenset[str] | set[str] = frozenset()
    path: str = ""
    front: str = ""
    writes_only: bool = False
    first: int = 1
    times: int | None = 1

    def covers(self, front: str, method: str, target: str, write: bool) -> bool:
        """Whether the request is one of those counted here."""
        return (
            (not self.methods or method in self.methods)
            and (not self.front or front == self.front)
            and (write or not self.writes_only)
            and re.search(self.path, target) is not None
        )


ANY = Match()
ALWAYS = Match(times=None)


@dataclass(frozen=True)
class Rule:
    """One fault. Made by the functions below."""

    where: Match
    action: Action = Action.PASS
    delay: float = 0.0  # seconds, before anything else
    status: int = 0
    retry_after: str | None = None
    keep: int = 0  # bytes of the answer's body that are passed on
    choices: tuple[Rule, ...] = ()
    probability: float = 1.0
    seed: int = 0


def delay(seconds: float, where: Match = ANY) -> Rule:
    """Forwarded `seconds` later; not at all when the client has gone by then."""
    return Rule(where, delay=seconds)


def reset(where: Match = ANY) -> Rule:
    """The connection is reset (RST), the request never forwarded."""
    return Rule(where, Action.RESET)


def lose_answer(where: Match = ANY) -> Rule:
    """Forwarded and answered by the server; then the connection is reset instead of passing the answer on."""
    return Rule(where, Action.LOSE)


def answer(status: int, where: Match = ANY, *, retry_after: str | None = None) -> Rule:
    """Answered by the proxy with an error of the server's form; never forwarded."""
    return Rule(where, Action.ANSWER, status=status, retry_after=retry_after)


def truncate(keep: int, where: Match = ANY) -> Rule:
    """The answer's head and the first `keep` bytes of its body as sent (chunk sizes included), then end of file."""
    return Rule(where, Action.TRUNCATE, keep=keep)


def hold(where: Match = ANY) -> Rule:
    """Neither forwarded nor answered until the armed rule is released (or the client goes away)."""
    return Rule(where, Action.HOLD)


def hold_answer(where: Match = ANY) -> Rule:
    """Forwarded and answered by the server; the answer waits until the armed rule is released."""
    return Rule(where, Action.HOLD_ANSWER)


def storm(faults: Sequence[Rule], probability: float, seed: int, where: Match = ALWAYS) -> Rule:
    """Each request that matches meets one of `faults` with `probability`; which ones follows from the seed alone."""
    return Rule(where, choices=tuple(faults), probability=probability, seed=seed)


class Armed:
    """A rule at work: what it has met so far, and the handle to release what it holds. Safe from any thread."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.matched = 0
        self.fired = 0
        self.released: Future[None] = Future()
        self._random = random.Random(rule.seed)
        self._changed = threading.Condition()

    def meet(self, front: str, method: str, target: str, write: bool) -> Rule | None:
        """The fault for this request, or None. Counts."""
        where = self.rule.where
        if self.released.done() or not where.covers(front, method, target, write):
            return None
        with self._changed:
            self.matched += 1
            beyond = where.times is not None and self.matched >= where.first + where.times
            if self.matched < where.first or beyond:
                return None
            effect = self._draw()
            if effect is not None:
                self.fired += 1
                self._changed.notify_all()
            return effect

    def _draw(self) -> Rule | None:
        if not self.rule.choices:
            return self.rule
        # Both numbers are drawn for every request, so that the n-th decision depends on the seed and n alone.
        hit, choice = self._random.random() < self.rule.probability, self._random.choice(self.rule.choices)
        return replace(choice, where=self.rule.where) if hit else None

    def wait_fired(self, count: int = 1, timeout: float = 30.0) -> None:
        """Returns once `count` requests have met the fault; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.fired >= count, timeout):
                raise TimeoutError(f"{self.fired} of {count} requests met {self.rule} within {timeout} s")

    def release(self) -> None:
        """Lets go what is held (it is forwarded now) and ends the rule."""
        with self._changed:
            if not self.released.done():
                self.released.set_result(None)
