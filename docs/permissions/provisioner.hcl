# What the provisioner's Vault token needs: what the operator's does, and to make entries, policies, AppRoles and
# SecretIDs. Whoever may write a policy may grant it to himself: keep this token for provision.yml alone.
# An entry is made once, as a whole; from then on keys are patched.
path "kv/data/agents/*" {
  capabilities = ["create", "read", "update", "patch"]
}
path "kv/metadata/agents/*" {
  capabilities = ["read", "patch"]
}
# Whether a rotation is open, and the place of its journal, with its settings.
path "kv/data/agents-rotation/*" {
  capabilities = ["read"]
}
path "kv/metadata/agents-rotation/*" {
  capabilities = ["create", "read", "update"]
}
path "sys/policies/acl/agents-*" {
  capabilities = ["create", "read", "update"]
}
path "auth/approle/role/+" {
  capabilities = ["create", "read", "update"]
}
path "auth/approle/role/+/role-id" {
  capabilities = ["read"]
}
path "auth/approle/role/+/secret-id" {
  capabilities = ["update"]
}
path "auth/approle/role/+/secret-id/lookup" {
  capabilities = ["update"]
}
path "auth/approle/role/+/secret-id-accessor/lookup" {
  capabilities = ["update"]
}
