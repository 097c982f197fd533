# What the provisioner's Vault token needs: what the operator's does, and to make entries, policies, AppRoles and
# SecretIDs. Whoever may write a policy may grant it to himself: keep this token for provision.yml alone.
path "kv/data/agents/*" {
  capabilities = ["create", "read", "update"]
}
path "kv/metadata/agents/*" {
  capabilities = ["read"]
}
# The place of the journal of rotations, with its settings.
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
