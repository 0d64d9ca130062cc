"""Neutron's client, as far as Trove uses it: one network, with ports and security groups that are records only."""

from __future__ import annotations

from typing import Any

from neutronclient.common import exceptions

from stand_in.store import Network, Record, Settings, Store


class Neutron:
    def __init__(self, store: Store, network: Network) -> None:
        self.store, self.network = store, network

    def show_network(self, id: str) -> Record:
        if id != self.network.id:
            raise exceptions.NetworkNotFoundClient(message=f"no network {id}")
        return {"network": {"id": id, "name": "guests", "subnets": [self._subnet()["id"]]}}

    def list_networks(self, **_: Any) -> Record:
        return {"networks": [self.show_network(self.network.id)["network"]]}

    def list_subnets(self, network_id: str | None = None, **_: Any) -> Record:
        return {"subnets": [self._subnet()] if network_id in (None, self.network.id) else []}

    def show_subnet(self, id: str) -> Record:
        if id != self._subnet()["id"]:
            raise exceptions.NotFound(message=f"no subnet {id}")
        return {"subnet": self._subnet()}

    def _subnet(self) -> Record:
        network = self.network
        return {
            "id": f"{network.id}-subnet",
            "network_id": network.id,
            "cidr": network.cidr,
            "ip_version": 4,
            "gateway_ip": network.host,
        }

    def show_extension(self, alias: str) -> Record:
        raise exceptions.NotFound(message=f"no extension {alias}")

    def create_port(self, body: Record) -> Record:
        port = body["port"]
        number = sum(1 for _ in self.store.all("ports")) + 1
        record = {
            "name": port["name"],
            "network_id": port["network_id"],
            "security_groups": port["security_groups"],
            "device_id": "",
            "mac_address": f"fa:16:3e:00:{number >> 8 & 255:02x}:{number & 255:02x}",
            "fixed_ips": [{"subnet_id": self._subnet()["id"], "ip_address": self.network.guest}],
        }
        self.store.log("port created", name=port["name"])
        return {"port": self.store.save("ports", record)}

    def show_port(self, id: str) -> Record:
        port = self.store.load("ports", id)
        if port is None:
            raise exceptions.PortNotFoundClient(message=f"no port {id}")
        return {"port": port}

    def list_ports(self, **wanted: Any) -> Record:
        ports = self.store.all("ports")
        return {"ports": [port for port in ports if all(port.get(key) == value for key, value in wanted.items())]}

    def delete_port(self, id: str) -> None:
        self.store.remove("ports", id)

    def list_floatingips(self, **_: Any) -> Record:
        return {"floatingips": []}

    def create_security_group(self, body: Record) -> Record:
        return {"security_group": self.store.save("security_groups", dict(body["security_group"]))}

    def create_security_group_rule(self, body: Record) -> Record:
        """Noted, not enforced: nothing but this host's loopback reaches a guest."""
        self.store.log("security group rule", **body["security_group_rule"])
        return body

    def list_security_groups(self, name: str | None = None, **_: Any) -> Record:
        groups = self.store.all("security_groups")
        return {"security_groups": [group for group in groups if group["name"] == name]}

    def delete_security_group(self, id: str) -> None:
        self.store.remove("security_groups", id)


def client(context: Any, region_name: str | None = None) -> Neutron:
    settings = Settings.load()
    return Neutron(Store(settings.directory), settings.network)
