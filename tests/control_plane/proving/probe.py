"""What every guest gets besides Trove's own files, so that this host sees what the agent says.

Trove merges a file of the operator's into the user data of its guests (`cloudinit_location`). This one starts a unit
that sends the agent's log, Docker's and the database's to a virtio port. The image is not changed, and nobody logs in.
"""

from __future__ import annotations

import json

PORT = "/dev/virtio-ports/org.tib.prove"

# The names that images give to the unit of the agent: Trove's own and tib's, Debian's, RDO's.
UNITS = ("guest-agent", "trove-guestagent", "openstack-trove-guestagent", "docker")

SELECTED = " ".join(f"--unit {unit}" for unit in UNITS)
SELECTED = " ".join(f"--unit={unit}" for unit in UNITS)
SCRIPT = f"""
modprobe virtio_console 2>/dev/null
for second in $(seq 60); do [ -e {PORT} ] && break; sleep 1; done
[ -e {PORT} ] || exit 0
exec >{PORT} 2>/dev/null
journalctl --no-pager --no-tail --follow --boot --output short-monotonic {SELECTED} &
tail --lines +1 --follow=name --retry /var/log/trove/trove-guestagent.log &
until ls /var/lib/docker/containers/*/*-json.log >/dev/null 2>&1; do sleep 5; done
tail --lines +1 --follow=name --retry /var/lib/docker/containers/*/*-json.log
"""


def cloud_config() -> str:
    """The file for Trove; JSON is YAML."""
    run = ["systemd-run", "--no-block", "--unit=tib-prove-probe", "--collect", "/bin/sh", "-c", SCRIPT]
    return "#cloud-config\n" + json.dumps({"bootcmd": [run]}, indent=1) + "\n"
