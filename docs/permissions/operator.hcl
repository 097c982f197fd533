# What the operator's Vault token needs: the agents' values and their version, to prove that they arrived; and to rotate
# them. A key is patched, never is the whole entry written; its age and rotation stand in the entry's custom metadata.
path "kv/data/agents/*" {
  capabilities = ["read", "patch"]
}
path "kv/metadata/agents/*" {
  capabilities = ["read", "patch"]
}
# How many versions are kept of each path, so that the one to go back to stays.
path "kv/config" {
  capabilities = ["read"]
}
# The journal of rotations: the new values, until they are promoted. No agent's own policy may read it.
path "kv/data/agents-rotation/*" {
  capabilities = ["create", "read", "update"]
}
path "kv/metadata/agents-rotation/*" {
  capabilities = ["read"]
}
path "kv/destroy/agents-rotation/*" {
  capabilities = ["update"]
}
# The inbox: values that a person brings.
path "kv/data/agents-inbox/*" {
  capabilities = ["create", "read", "update", "patch"]
}
path "kv/metadata/agents-inbox/*" {
  capabilities = ["read"]
}
path "kv/destroy/agents-inbox/*" {
  capabilities = ["update"]
}
# The renewal of the SecretIDs by which ESO logs in. A "+" is any AppRole of the mount, since Vault's paths know no
# ending: whoever may this may become any of them. So AppRoles that may more than an agent's belong to another mount, or
# under names that begin with "fleet-", which are taken out below.
path "auth/approle/role/+/role-id" {
  capabilities = ["read"]
}
path "auth/approle/role/+/secret-id" {
  capabilities = ["list", "update"]
}
path "auth/approle/role/+/secret-id/lookup" {
  capabilities = ["update"]
}
path "auth/approle/role/+/secret-id-accessor/lookup" {
  capabilities = ["update"]
}
path "auth/approle/role/+/secret-id-accessor/destroy" {
  capabilities = ["update"]
}
# Vault locks an AppRole out after some failed logins, as an ESO does them whose SecretID has ended. A renewal lifts that.
path "sys/locked-users/auth_approle_*" {
  capabilities = ["update"]
}
# AppRoles are one in small and capital letters, paths of a policy are not: each way to begin with "fleet-".
path "auth/approle/role/fleet-*" {
  capabilities = ["deny"]
}
path "auth/approle/role/F*" {
  capabilities = ["deny"]
}
path "auth/approle/role/fL*" {
  capabilities = ["deny"]
}
path "auth/approle/role/flE*" {
  capabilities = ["deny"]
}
path "auth/approle/role/fleE*" {
  capabilities = ["deny"]
}
path "auth/approle/role/fleeT*" {
  capabilities = ["deny"]
}
