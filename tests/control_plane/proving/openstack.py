"""The APIs of Keystone, Glance and Trove, as far as the story needs them."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from proving.errors import ProveError

Json = dict[str, Any]

# To services on this host, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(ProveError):
    """What a service refused, in its words."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        super().__init__(f"{method} {url} was answered with {status}: {body[:2000]}")
        self.status = status


class Connection:
    """A user in a project, with a token that is renewed when it has run out."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        self.credentials = credentials
        self._token = ""
        self._project = ""

    @property
    def project(self) -> str:
        """The project's ID."""
        if not self._project:
            self._authenticate()
        return self._project

    def _authenticate(self) -> None:
        about = self.credentials
        domain = {"name": "Default"}
        user = {"name": about["username"], "password": about["password"], "domain": domain}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": about["project_name"], "domain": domain}}
        body = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        url = f"{about['auth_url']}/auth/tokens"
        headers = {"Content-Type": "application/json"}
        with send("POST", url, headers, body) as answer:
            self._token = answer.headers["X-Subject-Token"]
            self._project = json.load(answer)["token"]["project"]["id"]

    def request(self, method: str, url: str, body: Json | None = None) -> Json:
        """Sends JSON and returns JSON; nothing if the answer has no content."""
        content = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            if not self._token:
                self._authenticate()
            headers = {"X-Auth-Token": self._token, "Content-Type": "application/json", "Accept": "application/json"}
            try:
                with send(method, url, headers, content) as answer:
                    text = answer.read()
                break
            except ApiError as error:
                if error.status != 401 or attempt == 2:
                    raise
                self._token = ""
        result: Json = json.loads(text) if text.strip() else {}
        return result

    def upload(self, url: str, path: Path) -> None:
        """Sends a file as it is."""
        self.project  # noqa: B018 # a token first
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/octet-stream"}
        headers["Content-Length"] = str(path.stat().st_size)
        with open(path, "rb") as file, send("PUT", url, headers, file, 1800):
            pass


def send(
    method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None, seconds: float = 120
) -> Any:
    """A request, and its answer, which must be one of success."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
    try:
        return OPENER.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        raise ApiError(method, url, error.code, error.read().decode("utf-8", "replace")) from None
    except (OSError, HTTPException) as error:
        raise ProveError(f"{method} {url}: {error}") from None


class Identity:
    """Keystone, as its administrator."""

    def __init__(self, admin: Connection) -> None:
        self.admin = admin
        self.url = admin.credentials["auth_url"]

    def _create(self, kind: str, plural: str, **values: Any) -> str:
        id: str = self.admin.request("POST", f"{self.url}/{plural}", {kind: values})[kind]["id"]
        return id

    def create_project(self, name: str) -> str:
        return self._create("project", "projects", name=name, domain_id="default")

    def create_user(self, name: str, password: str, project: str, roles: list[str]) -> str:
        user = self._create("user", "users", name=name, password=password, domain_id="default")
        known = {role["name"]: role["id"] for role in self.admin.request("GET", f"{self.url}/roles")["roles"]}
        for role in roles:
            # Not every release's bootstrap makes the role `service`.
            if role in known:
                self.admin.request("PUT", f"{self.url}/projects/{project}/users/{user}/roles/{known[role]}")
        return user

    def create_service(self, name: str, kind: str, url: str, region: str) -> None:
        service = self._create("service", "services", name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            values = {"service_id": service, "interface": interface, "url": url, "region_id": region}
            self._create("endpoint", "endpoints", **values)


class Images:
    """Glance."""

    def __init__(self, connection: Connection, url: str) -> None:
        self.connection, self.url = connection, f"{url}/v2/images"

    def create(self, path: Path, properties: Json) -> Json:
        """Uploads an image, and returns what Glance then says about it."""
        image = self.connection.request("POST", self.url, properties)
        self.connection.upload(f"{self.url}/{image['id']}/file", path)
        return self.connection.request("GET", f"{self.url}/{image['id']}")


class Databases:
    """Trove, as a user of it."""

    def __init__(self, connection: Connection, url: str) -> None:
        self.connection = connection
        self.url = f"{url}/{connection.project}"

    def register(self, version: Json) -> None:
        """A version of a datastore, which an administrator alone may register."""
        self.connection.request("POST", f"{self.url}/mgmt/datastore-versions", {"version": version})

    def create(self, instance: Json) -> str:
        id: str = self.connection.request("POST", f"{self.url}/instances", {"instance": instance})["instance"]["id"]
        return id

    def show(self, id: str) -> Json:
        instance: Json = self.connection.request("GET", f"{self.url}/instances/{id}")["instance"]
        return instance

    def create_database(self, id: str, name: str) -> None:
        self.connection.request("POST", f"{self.url}/instances/{id}/databases", {"databases": [{"name": name}]})

    def create_user(self, id: str, name: str, password: str, database: str) -> None:
        user = {"name": name, "password": password, "databases": [{"name": database}]}
        self.connection.request("POST", f"{self.url}/instances/{id}/users", {"users": [user]})

    def names(self, id: str, what: str) -> list[str]:
        """Names of an instance's `databases` or `users`."""
        found = self.connection.request("GET", f"{self.url}/instances/{id}/{what}")[what]
        return [entry["name"] for entry in found]

    def restart(self, id: str) -> None:
        self.connection.request("POST", f"{self.url}/instances/{id}/action", {"restart": {}})

    def delete(self, id: str) -> None:
        self.connection.request("DELETE", f"{self.url}/instances/{id}")

    def is_gone(self, id: str) -> bool:
        """By the list: to show an instance, Trove asks its agent, and waits for who is gone."""
        return id not in [
            instance["id"] for instance in self.connection.request("GET", f"{self.url}/instances")["instances"]
        ]


def wait(seconds: float = 2) -> None:
    """Between two questions to an API."""
    time.sleep(seconds)
