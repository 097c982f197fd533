# What the operator's Vault token needs: the agents' values and their version, to prove that they arrived.
path "kv/data/agents/*" {
  capabilities = ["read"]
}
path "kv/metadata/agents/*" {
  capabilities = ["read"]
}
