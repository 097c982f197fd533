"""Runs the jobs of a GitHub workflow file on this machine, so that tests see the commands as the YAML has them."""
