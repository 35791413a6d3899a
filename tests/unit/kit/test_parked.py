"""What a record is known by when it is put aside."""

from __future__ import annotations

import pytest
from muster_contracts.topics import ALL

from services.kit.parked import FROM_IDENTITY, Raw


@pytest.mark.parametrize("topic", [topic.name for topic in ALL])
def test_only_a_topic_of_identitys_relay_says_which_position_of_its_log_it_fills(topic: str) -> None:
    raw = Raw(topic, b"usr_1", b"{", (("ce_position", b"7"),))
    assert raw.position() == (7 if topic in FROM_IDENTITY else None)
