"""The gateway's process: `python -m services.gateway.app`. Settings in, one ASGI application out."""

from __future__ import annotations

import sys

from starlette.types import ASGIApp

from services.gateway import pages
from services.gateway.access_log import AccessLog
from services.gateway.edge import Edge
from services.gateway.heads import Reader
from services.gateway.upstream import Services
from services.kit.addresses import Addresses
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load
from services.kit.telemetry import configure

USAGE = 2


def create(settings: Settings) -> ASGIApp:
    """The whole gateway; it holds no state but the rate buckets and its connections.

    Raises:
        SettingsError: the key of a service is missing: every call to it would look like a wrong credential.
    """
    for name in ("gateway_identity", "gateway_audit", "gateway_notifier"):
        if not getattr(settings.service_keys, name).get_secret_value():
            raise SettingsError(f"MUSTER_SERVICE_KEYS__{name.upper()} is not set; give it or its _FILE")
    services = Services(settings)
    console_keys = settings.service_keys.console_gateway.get_secret_value().split(",")
    reader = Reader(Addresses(settings.gateway.trusted_proxies), [key.strip() for key in console_keys])
    access_log = AccessLog(_name(settings))
    return Edge(services, pages.create(services), reader, settings.gateway.calls_per_second, access_log)


def main() -> None:
    try:
        settings = load()
        app = create(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    configure(_name(settings), settings.log_level)
    serve(app, settings.listen.host, settings.listen.gateway)


def _name(settings: Settings) -> str:
    return settings.instance or "gateway"


if __name__ == "__main__":
    main()
