"""Which processes make a local Muster, on which ports, and which settings each of them is given.

A process gets the settings it needs and no other: its own database role, the service keys of which it is one
end, its own master key. What the caller's environment says goes before what is made up here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local.kafka import Kafka
from deploy.local.ports import HOST
from deploy.local.postgres import SERVICES, Postgres
from deploy.local.state import Var
from deploy.local.supervisor import Spec, http_ready
from services.kit.settings import PREFIX, Gateway, Settings

THROTTLE_FACTOR = 10
PAIRS = {
    "gateway": ("GATEWAY_IDENTITY", "GATEWAY_AUDIT", "GATEWAY_NOTIFIER", "CONSOLE_GATEWAY"),
    "identity": ("GATEWAY_IDENTITY", "AUDIT_IDENTITY", "NOTIFIER_IDENTITY"),
    "audit": ("GATEWAY_AUDIT", "AUDIT_IDENTITY"),
    "notifier": ("GATEWAY_NOTIFIER", "NOTIFIER_IDENTITY"),
    "console": ("CONSOLE_GATEWAY",),
}
"""The service keys of which a process is one end."""
NEEDS: Mapping[str, Sequence[str]] = {
    "gateway": ("GATEWAY",),
    "console": ("GATEWAY__TRUSTED_PROXIES",),
    "identity": ("DATABASES__IDENTITY", "KEYS", "THROTTLES"),
    "relay": ("DATABASES__IDENTITY", "KEYS", "KAFKA"),
    "audit": ("DATABASES__AUDIT", "KEYS", "KAFKA"),
    "notifier": ("DATABASES__NOTIFIER", "KEYS", "KAFKA", "SMTP"),
    "demo": ("DATABASES__IDENTITY", "KEYS", "THROTTLES"),
    "mail": (),
}
"""The settings of a process besides: names or whole groups, without `MUSTER_`."""
EVERYONE = ("EMBEDDED", "LISTEN", "LOG_LEVEL", "PORT_BASE", "URLS", "VAR")
MODULES = {
    "identity": "services.identity.app",
    "relay": "services.identity.relay",
    "audit": "services.audit.app",
    "notifier": "services.notifier.app",
    "gateway": "services.gateway.app",
    "console": "services.console.app",
    "mail": "deploy.local.mail",
    "demo": "services.identity.demo",  # runs once and ends
}
PORTS = {
    "gateway": 0,
    "console": 1,
    "mail": 2,
    "smtp": 3,
    "kafka": 4,
    "kafka controller": 5,
    "postgres": 6,
    "identity": 7,
    "audit": 8,
    "notifier": 9,
    "relay": 10,
}
"""Distance from `MUSTER_PORT_BASE`."""
SERVERS = ("mail", "smtp", "kafka", "kafka controller", "postgres")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about one local installation that follows from the settings and `var/`."""

    settings: Settings
    var: Var
    root: Path

    @property
    def embedded(self) -> bool:
        """Whether we bring PostgreSQL, Kafka and a mail catcher; not when the settings name others."""
        given = self.settings.databases.model_dump().values()
        return not self.settings.kafka.bootstrap and not any(secret.get_secret_value() for secret in given)

    def port(self, name: str) -> int:
        return self.settings.port_base + PORTS[name]

    def ports(self) -> dict[str, int]:
        """The ports that a start binds, by who needs them."""
        return {name: self.port(name) for name in PORTS if self.embedded or name not in SERVERS}

    def address(self, name: str) -> str:
        return f"http://{HOST}:{self.port(name)}"

    def postgres(self) -> Postgres:
        return Postgres(self.var / "postgres", self.port("postgres"), self.var.secrets()["postgres"])

    def kafka(self) -> Kafka:
        return Kafka(self.var / "kafka", self.port("kafka"), self.port("kafka controller"))

    def spec(self, name: str) -> Spec:
        return Spec(name, command(name), self.environment(name), partial(http_ready, self.port(name)))

    def environment(self, name: str) -> dict[str, str]:
        """The whole environment of a process: the machine's own variables, and the settings it may know."""
        outside = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        wanted = (*NEEDS[name], *(f"SERVICE_KEYS__{pair}" for pair in PAIRS.get(name, ())), *EVERYONE)
        settings = self.all_settings(master=name)
        return outside | {key: value for key, value in settings.items() if _is_wanted(key, wanted)}

    def all_settings(self, *, master: str | None = None) -> dict[str, str]:
        """Every setting of this installation, as `muster` commands of a person need them.

        Args:
            master: the process whose master key alone is to be there; None for those of all.
        """
        given = {key: value for key, value in os.environ.items() if key.startswith(PREFIX)}
        ours = self._made_up(master)
        taken = {key.removesuffix("_FILE") for key in given}
        return {key: value for key, value in ours.items() if key not in taken} | given | self._fixed()

    def _fixed(self) -> dict[str, str]:
        fixed = {"PORT_BASE": str(self.settings.port_base), "VAR": str(self.var.folder)}
        fixed |= {
            f"LISTEN__{name.upper()}": str(self.port(name))
            for name in ("gateway", "console", *SERVICES, "relay")
        }
        fixed |= {f"URLS__{name.upper()}": self.address(name) for name in ("gateway", *SERVICES)}
        return {
            PREFIX + key: value for key, value in (fixed | {"EMBEDDED": str(self.embedded).lower()}).items()
        }

    def _made_up(self, master: str | None) -> dict[str, str]:
        secrets = self.var.secrets()
        made = {
            f"SERVICE_KEYS__{pair}": secrets[f"key_{pair.lower()}"]
            for ends in PAIRS.values()
            for pair in ends
        }
        made |= {"URLS__CONSOLE": self.address("console")}
        if self.embedded:
            made |= self._of_servers(secrets) | {
                "KEYS__POSITIONS": secrets["positions"],
                "KEYS__LOOKUP": secrets["lookup"],
                "KEYS__MASTER": _master_keys(secrets, master),
                "THROTTLES__FACTOR": str(THROTTLE_FACTOR),
                "GATEWAY__CALLS_PER_SECOND": str(THROTTLE_FACTOR * Gateway().calls_per_second),
            }
        return {PREFIX + key: value for key, value in made.items()}

    def _of_servers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        server = self.postgres()
        return {
            "KAFKA__BOOTSTRAP": self.kafka().bootstrap,
            "SMTP__HOST": HOST,
            "SMTP__PORT": str(self.port("smtp")),
            **{
                f"DATABASES__{role.upper()}": server.url(service, role, secrets[role])
                for service in SERVICES
                for role in (service, f"{service}_owner")
            },
        }


def command(name: str) -> list[str]:
    return [sys.executable, "-P", "-m", MODULES[name]]


def _is_wanted(key: str, wanted: Sequence[str]) -> bool:
    name = key.removeprefix(PREFIX).removesuffix("_FILE")
    return any(name == allowed or name.startswith(f"{allowed}__") for allowed in wanted)


def _master_keys(secrets: Mapping[str, str], process: str | None) -> str:
    if process is None:
        return ",".join(secrets[f"master_{service}"] for service in SERVICES)
    return secrets[f"master_{process if process in SERVICES else 'identity'}"]
