"""Every setting of every process, read from `MUSTER_…` environment variables.

Nesting is written with `__` (`MUSTER_KAFKA__BOOTSTRAP`). A secret may be given as a file instead:
`MUSTER_KEYS__MASTER_FILE=/run/secrets/master`. A name that no process knows is refused with the
nearest known one, since a misspelt setting that is silently ignored is how defaults reach production.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "MUSTER_"
OF_TESTS = "MUSTER_TEST_SERVICES"
"""Read by the tests alone; it is in the environment of the processes that they start, and no setting."""
Network = IPv4Network | IPv6Network


class SettingsError(Exception):
    """A setting is unknown, missing or malformed; the text says which and what to do."""


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Databases(Group):
    """One URL per service and role: `…_owner` migrates, the other one is what the service runs as."""

    identity: SecretStr = SecretStr("")
    identity_owner: SecretStr = SecretStr("")
    audit: SecretStr = SecretStr("")
    audit_owner: SecretStr = SecretStr("")
    notifier: SecretStr = SecretStr("")
    notifier_owner: SecretStr = SecretStr("")


class Kafka(Group):
    bootstrap: str = ""
    replication_factor: int = Field(default=1, ge=1)


class Smtp(Group):
    host: str = "127.0.0.1"
    port: int = 25
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: SecretStr = SecretStr("")
    sender: str = "Muster <no-reply@muster.example>"
    timeout_seconds: float = Field(default=10.0, gt=0, le=25)


class Keys(Group):
    """`master` wraps the keys of persons: `id:base64` of 32 bytes, several separated by commas, newest first.

    `positions` seals positions and cursors (base64 of 32 bytes, the same in every service).
    `lookup` keys the hashes of recovery codes and of logins that exist nowhere (base64 of 32 bytes).
    """

    master: SecretStr = SecretStr("")
    positions: SecretStr = SecretStr("")
    lookup: SecretStr = SecretStr("")


class ServiceKeys(Group):
    """One secret per pair of services; two separated by a comma while one is being rotated, newest first."""

    gateway_identity: SecretStr = SecretStr("")
    gateway_audit: SecretStr = SecretStr("")
    gateway_notifier: SecretStr = SecretStr("")
    console_gateway: SecretStr = SecretStr("")
    audit_identity: SecretStr = SecretStr("")
    notifier_identity: SecretStr = SecretStr("")


class Gateway(Group):
    calls_per_second: int = Field(default=200, ge=1)
    """Calls a second for one credential, in one gateway process."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks whose `X-Forwarded-For` is believed; comma separated."""


class Urls(Group):
    """Where the services answer each other; `console` is the origin that links in mails begin with."""

    console: str = "http://127.0.0.1:8801"
    gateway: str = "http://127.0.0.1:8800"
    identity: str = "http://127.0.0.1:8807"
    audit: str = "http://127.0.0.1:8808"
    notifier: str = "http://127.0.0.1:8809"


class Listen(Group):
    """Address and ports of a process; `ops` serves `/live` and `/ready` where the process has no other port."""

    host: str = "127.0.0.1"
    gateway: int = 8800
    console: int = 8801
    identity: int = 8807
    audit: int = 8808
    notifier: int = 8809
    relay: int = 8810


class Throttles(Group):
    """Failures that are let through; every figure is multiplied by `factor` (10 under `make up`)."""

    factor: int = Field(default=1, ge=1)
    account_passwords: int = 5
    session_codes: int = 5
    account_codes: int = 10
    address_failures: int = 100
    organization_failures: int = 1000
    reset_mails_per_hour: int = 3


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    port_base: int = Field(default=8800, ge=1024, le=32700)
    var: Path = Path("var")
    instance: str = ""
    """Name of this process among its copies (`identity-2`); empty for a lone one."""
    embedded: bool = False
    """Set by `make up` alone: embedded servers, demo organization and mail catcher are there."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    databases: Databases = Databases()
    kafka: Kafka = Kafka()
    smtp: Smtp = Smtp()
    keys: Keys = Keys()
    service_keys: ServiceKeys = ServiceKeys()
    gateway: Gateway = Gateway()
    urls: Urls = Urls()
    listen: Listen = Listen()
    throttles: Throttles = Throttles()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 # pydantic calls by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # pydantic calls by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # pydantic calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # pydantic calls by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep the environment out: `load` reads it, checks every name and passes the values in."""
        return (init_settings,)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: an unknown name, an unreadable `…_FILE`, a value of the wrong kind.
    """
    given = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name in sorted(n for n in given if n.startswith(PREFIX) and n != OF_TESTS):
        target, value = _resolve(name, given[name])
        _place(values, _known()[target], value)
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + "__".join(str(part).upper() for part in first["loc"][:2])
        raise SettingsError(f"{name}: {first['msg']}") from None


@cache
def _known() -> dict[str, tuple[str, ...]]:
    return {PREFIX + "__".join(path).upper(): path for path, _ in _leaves(Settings, ())}


@cache
def _secrets() -> frozenset[str]:
    return frozenset(
        PREFIX + "__".join(path).upper()
        for path, annotation in _leaves(Settings, ())
        if annotation is SecretStr
    )


def _leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Group):
            yield from _leaves(annotation, (*path, name))
        else:
            yield (*path, name), annotation


def _resolve(name: str, value: str) -> tuple[str, str]:
    if name in _known():
        return name, value
    base = name.removesuffix("_FILE")
    if base != name and base in _secrets():
        try:
            return base, Path(value).read_text("utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{name}: cannot read {value}: {error.strerror}") from None
    near = get_close_matches(name, [*_known(), *(f"{s}_FILE" for s in _secrets())], n=1, cutoff=0)
    raise SettingsError(f"{name} is not a setting; the nearest is {near[0]}")


def _place(values: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *groups, leaf = path
    for group in groups:
        values = values.setdefault(group, {})
    values[leaf] = [part.strip() for part in value.split(",") if part.strip()] if _is_list(path) else value


def _is_list(path: tuple[str, ...]) -> bool:
    annotation: Any = dict(_leaves(Settings, ()))[path]
    return get_origin(annotation) is tuple and bool(get_args(annotation))
