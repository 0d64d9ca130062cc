"""A virtual machine as Nova would start it: an overlay of the image, the volumes, a card for each port, and what tells
cloud-init who it is, on a config drive or from a metadata service."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from proving.processes import free_port, is_alive, record
from stand_in.store import Record, Settings

METADATA_ADDRESS = "169.254.169.254"
# The virtio port on which the guest reports what its agent says (`proving/probe.py`).
PROBE_PORT = "org.tib.prove"

HERE = Path(__file__).resolve().parent


def option(**values: object) -> str:
    """An option of qemu: `key=value` with commas; a comma in a value is written twice."""
    return ",".join(f"{key}={str(value).replace(',', ',,')}" for key, value in values.items())


def helper(script: str, *arguments: object) -> str:
    """A command that serves one connection of the guest on its stdin and stdout, as qemu's `guestfwd` wants it."""
    # Isolated, and without what this environment has installed: it starts in a third of the time.
    return "cmd:" + shlex.join([sys.executable, "-I", "-S", str(HERE / script), *map(str, arguments)])


def card(settings: Settings, number: int, metadata: Path | None, forwards: dict[int, int]) -> str:
    """The user network behind a card. `metadata` is what the metadata service serves, if there is to be one."""
    network = settings.network
    rules = [f"hostfwd=tcp:127.0.0.1:{host}-{network.guest}:{guest}" for guest, host in forwards.items() if number == 0]
    if number == 0:
        for port, host in settings.reachable.items():
            rules.append(f"guestfwd=tcp:{network.services}:{port}-{helper('relay.py', host)}")
    if metadata is not None:
        rules.append(f"guestfwd=tcp:{METADATA_ADDRESS}:80-{helper('metadata.py', metadata)}")
    first = option(
        id=f"net{number}",
        net=network.cidr,
        host=network.host,
        dhcpstart=network.guest,
        restrict="on" if settings.restricted else "off",
        ipv6="off",
    )
    return ",".join(["user", first, *(rule.replace(",", ",,") for rule in rules)])


def command(
    settings: Settings,
    id: str,
    place: Path,
    volumes: list[Record],
    ports: list[Record],
    forwards: dict[int, int],
    config_drive: Path | None,
) -> list[str]:
    """qemu's command line. Paths of sockets are relative to `place`, as they may not be longer than 108 bytes."""
    kvm = settings.accelerator == "kvm"
    line = [settings.qemu, "-nodefaults", "-display", "none", "-daemonize", "-pidfile", "pid"]
    line += ["-machine", f"q35,accel={settings.accelerator}", "-cpu", "host" if kvm else "max"]
    line += ["-smp", str(settings.processors), "-m", str(settings.memory)]
    # ds-identify takes the machine for one of OpenStack by this name.
    line += ["-smbios", f"type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,uuid={id}"]
    line += ["-device", "virtio-rng-pci", "-serial", "file:console.log"]
    line += ["-qmp", "unix:qmp,server=on,wait=off"]
    line += ["-device", "virtio-serial-pci", "-chardev", "file,id=probe,path=agent.log"]
    line += ["-device", f"virtserialport,chardev=probe,name={PROBE_PORT}"]
    line += ["-drive", "if=virtio,format=qcow2,cache=unsafe,file=disk.qcow2"]
    for volume in volumes:
        line += ["-drive", "if=virtio,format=raw,cache=unsafe," + option(file=volume["path"])]
    if config_drive is not None:
        # As a CD-ROM, so that the first volume is vdb.
        line += ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=config"]
        line += ["-drive", "if=none,id=config,media=cdrom,readonly=on,format=raw," + option(file=config_drive)]
    for number, port in enumerate(ports):
        served = number == len(ports) - 1 and config_drive is None
        line += ["-netdev", card(settings, number, place / "metadata" if served else None, forwards)]
        line += ["-device", f"virtio-net-pci,netdev=net{number},mac={port['mac_address']}"]
    return line


def write_metadata(place: Path, server: Record, ports: list[Record], user_data: str | None, key: str) -> Path:
    """The tree that a config drive holds and a metadata service serves."""
    tree = place / "metadata"
    latest = tree / "openstack" / "latest"
    latest.mkdir(parents=True)
    meta_data: Record = {
        "uuid": server["id"],
        "name": server["name"],
        "hostname": f"{server['name']}.novalocal",
        "meta": server["metadata"],
        "project_id": server["tenant_id"],
        "launch_index": 0,
        "availability_zone": "nova",
    }
    if server["key_name"] and key:
        meta_data["public_keys"] = {server["key_name"]: key}
    network_data = {
        "links": [
            {"id": f"tap{number}", "type": "phy", "ethernet_mac_address": port["mac_address"], "mtu": 1500}
            for number, port in enumerate(ports)
        ],
        "networks": [
            {"id": f"network{number}", "type": "ipv4_dhcp", "link": f"tap{number}", "network_id": port["network_id"]}
            for number, port in enumerate(ports)
        ],
        "services": [],
    }
    (latest / "meta_data.json").write_text(json.dumps(meta_data))
    (latest / "network_data.json").write_text(json.dumps(network_data))
    (latest / "vendor_data.json").write_text("{}")
    (latest / "vendor_data2.json").write_text("{}")
    if user_data:
        (latest / "user_data").write_text(user_data)
    return tree


def make_config_drive(place: Path, tree: Path) -> Path:
    iso = place / "config.iso"
    make = ["xorriso", "-as", "mkisofs", "-quiet", "-V", "config-2", "-J", "-r", "-o", str(iso), str(tree)]
    subprocess.run(make, check=True, capture_output=True)
    return iso


def start(settings: Settings, place: Path, line: list[str]) -> int:
    """Starts the machine, and returns its process."""
    (place / "command").write_text(shlex.join(line) + "\n")
    with open(place / "qemu.log", "w") as log:
        subprocess.run(line, check=True, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    pid = int((place / "pid").read_text())
    record(settings.pids, "machine", pid)
    return pid


def make_overlay(image: Path, place: Path, gib: int) -> None:
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), "disk.qcow2", f"{gib}G"]
    subprocess.run(make, check=True, cwd=place)


def choose_forwards(settings: Settings) -> dict[int, int]:
    return {guest: free_port() for guest in settings.forwarded}


def stop(pid: int, seconds: float = 15) -> None:
    """Ends the machine, if need be by force."""
    deadline = time.monotonic() + seconds
    sent = signal.SIGTERM
    while is_alive(pid):
        try:
            os.kill(pid, sent)
        except ProcessLookupError:
            return
        time.sleep(0.2)
        if time.monotonic() > deadline:
            sent = signal.SIGKILL


def remove_disks(place: Path) -> None:
    """What takes room; the logs stay until the run ends."""
    for name in ("disk.qcow2", "config.iso", "qmp"):
        (place / name).unlink(missing_ok=True)
    shutil.rmtree(place / "metadata", ignore_errors=True)


def control(place: Path, request: str) -> None:
    """Sends the machine a command by qemu's monitor protocol."""
    directory = os.open(place, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{directory}/qmp")
            stream = connection.makefile("rw")
            stream.readline()
            for execute in ("qmp_capabilities", request):
                stream.write(json.dumps({"execute": execute}) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        raise RuntimeError(f"qemu refused {execute}: {answer['error']}")
    finally:
        os.close(directory)
