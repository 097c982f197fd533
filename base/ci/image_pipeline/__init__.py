"""From a change in base/ to an image with a digest, and the digest to the fleet; called by the scripts beside it."""
