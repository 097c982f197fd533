# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the keys of an agent's secret."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  key_policy:
    description:
      - How the keys of the agent's secret come by new values. Each key with a dictionary, all of whose entries may be
        left out.
      - C(generated) is the number of random bytes of a value that is made here, from 16 to 256. Left out, a person
        brings the value.
      - C(max_age), for example V(90d), is the age from which a generated key is due for rotation.
      - C(multi_line) allows line breaks in the value.
      - C(test) is a request that tries a new value out before it is used. C(url), which must be C(https), or C(http)
        to this machine, and if need be C(method) (V(GET)), C(header) (V(Authorization)), C(prefix) (V(Bearer )) and
        the C(status) that only the right value is answered with (V(200)).
    type: dict
    default:
      OPENCLAW_GATEWAY_TOKEN:
        generated: 32
"""
