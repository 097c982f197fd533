"""Tests of the real image, which take longer than `make test` may: `make test-images`."""
