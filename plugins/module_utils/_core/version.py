# Copyright: DigitalSys
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release of the collection this is: recorded with each release of an agent, so that a plan can tell why the next
one makes a new pod. galaxy.yml says it too; a unit test holds both together."""

VERSION = "0.2.0"
