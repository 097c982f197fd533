"""How long `rollout.yml` takes beside its likes, on fake nodes; see __main__.py."""
