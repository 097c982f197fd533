"""What an agent lives in, on one machine: Kubernetes, Vault, External Secrets, a registry."""
