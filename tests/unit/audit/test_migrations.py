"""The tables of the consumer are the same wherever they are copied to."""

from __future__ import annotations

from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"


def test_audits_copy_of_the_consumers_tables_is_the_kits() -> None:
    copy = SERVICES / "audit" / "migrations" / "0001_consumer.sql"
    assert copy.read_text("utf-8") == (SERVICES / "kit" / "consumer.sql").read_text("utf-8")
    second = SERVICES / "audit" / "migrations" / "0003_offsets_of_a_cluster.sql"
    assert second.read_text("utf-8") == (SERVICES / "kit" / "consumer_cluster.sql").read_text("utf-8")
