"""A worker's home can be left and made again, whatever a test has left in it."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.fleet import kubectl, until
from tests.sandbox import cluster
from tests.sandbox.cells import Cell

#: That no worker has.
FAR = Cell(30)


def test_a_cell_ends_although_something_in_it_waits_for_its_operator(needs: Callable[..., None]) -> None:
    needs("processes", "admin")
    left = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        # As ESO sets it, which is gone before the namespace is.
        "metadata": {
            "name": "left",
            "namespace": FAR.namespace,
            "finalizers": ["external-secrets.io/externalsecret-cleanup"],
        },
        "spec": {"secretStoreRef": {"name": "nowhere"}, "data": [{"secretKey": "a", "remoteRef": {"key": "b"}}]},
    }
    FAR.start()
    try:
        cluster.apply([left])
    finally:
        FAR.stop()
    until(lambda: not kubectl("get", "namespace", FAR.namespace, "--ignore-not-found"), "the namespace is gone", 60)
