# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the operator's own access to HashiCorp Vault."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  vault_addr:
    description:
      - Address of Vault as this machine reaches it, for example V(https://vault.example.com:8200).
      - Not set, E(VAULT_ADDR) is taken.
    type: str
  vault_token:
    description:
      - Token to work with.
      - Not set, E(VAULT_TOKEN) is taken, else the login by O(vault_role_id) and O(vault_secret_id).
    type: str
  vault_role_id:
    description: RoleID of an AppRole to log in with, where there is no token. Not set, E(VAULT_ROLE_ID) is taken.
    type: str
  vault_secret_id:
    description: SecretID that belongs to O(vault_role_id). Not set, E(VAULT_SECRET_ID) is taken.
    type: str
  vault_namespace:
    description: Namespace, in Vault Enterprise. Not set, E(VAULT_NAMESPACE) is taken.
    type: str
  vault_cacert:
    description:
      - File with the certificate authority of Vault, PEM. Not set, E(VAULT_CACERT) is taken, else E(SSL_CERT_FILE),
        else the machine's own list.
    type: path
"""
