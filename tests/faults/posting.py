"""An Admin who makes keys, grants roles and edits as fast as answers come, on and on until after the demotion."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.driver import Asker
from tests.faults.ground import Ground
from tests.faults.history import Attempt
from tests.faults.racing import BUSY, NO_RIGHT, told
from tests.support.identity import Org

PEOPLE = ("admin", "member", "member2", "member3", "member4")
AT_ONCE = ("make_key", "role", "role", "edit", "edit")
"""What is posted at the same time through each way in."""
LATE = 2
"""Posts of each that begin after the demotion's answer: refusals are recorded singly up to ten a minute."""
MOST = 400
SHOWN = 2
"""Keys that are looked at afterwards."""


@dataclass
class Posting:
    """The posts of one organization's Admin; roles are granted to `member`, the other members are edited."""

    ground: Ground
    org: Org
    through: Sequence[Asker]
    demoted: asyncio.Event = field(default_factory=asyncio.Event)
    posts: list[tuple[str, Attempt]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def work(self) -> None:
        await asyncio.gather(*(self._on_and_on(ask, kind) for ask in self.through for kind in AT_ONCE))

    async def _on_and_on(self, ask: Asker, kind: str) -> None:
        late = 0
        for _ in range(MOST):
            late += self.demoted.is_set()
            attempt = await self._post(ask, kind)
            self.posts.append((kind, attempt))
            if late == LATE:
                return
            if not attempt.done:
                await self.demoted.wait()

    async def _post(self, ask: Asker, kind: str) -> Attempt:
        number, people, admin = next(self.numbers), self.org.people, self.org.admin
        match kind:
            case "make_key":
                return await self._make_key(ask, f"key {number}", ["users.read"])
            case "role":
                path, role = f"/v1/users/{people['member'].id}", ("admin", "member")[number % 2]
                return await ask.once(self.org, admin, kind, "PATCH", path, {"role": role})
            case _:  # nothing but the right of the one who does it keeps this one from being done
                path = f"/v1/users/{people[f'member{2 + number % 3}'].id}"
                return await ask.once(self.org, admin, kind, "PATCH", path, {"name": f"Robin {number}"})

    async def _make_key(self, ask: Asker, name: str, permissions: list[str]) -> Attempt:
        body = {"name": name, "permissions": permissions}
        return await ask.once(self.org, self.org.admin, "make_key", "POST", "/v1/api-keys", body)

    # ------------------------------------------------------------------------------------------------ afterwards
    def check_answers(self, demotion: Attempt) -> None:
        """Until the demotion everything is done, from its answer on nothing is."""
        for kind, post in self.posts:
            if post.began > demotion.ended:
                assert told(post) == NO_RIGHT, (kind, told(post))
            else:
                may_be_refused = post.ended > demotion.began
                assert post.done or told(post) in (BUSY, *[NO_RIGHT] * may_be_refused), (kind, told(post))
        late = {(kind, post.via) for kind, post in self.posts if post.began > demotion.ended}
        assert late == {(kind, name) for kind in AT_ONCE for ask in self.through for name in ask.names}

    def is_mixed(self, demotion: Attempt) -> bool:
        """Whether of the posts that were under way together with the demotion some were done and some refused."""
        together = [p for _, p in self.posts if p.began < demotion.ended and p.ended > demotion.began]
        return len({post.done for post in together if told(post) != BUSY}) > 1

    async def check_log(self) -> None:
        """Nothing of theirs stands behind the demotion, and there are the keys that were acknowledged."""
        pool, admin = self.ground.place.identity.pool, self.org.admin.id
        after = await pool.fetch(
            "SELECT type, position FROM events WHERE actor_id = $1 AND type <> 'attempt.refused' AND position > "
            "(SELECT position FROM events WHERE stream = $1 AND type = 'user.role_changed')",
            admin,
        )
        assert [tuple(row) for row in after] == []
        kept = await pool.fetch('SELECT id FROM api_keys WHERE "user" = $1', admin)
        assert {row["id"] for row in kept} == {body["api_key"]["id"] for body in self._keys()}

    async def check_keys(self) -> None:
        """The keys hold what a Member holds, nothing; and a Member makes not even a key that holds nothing."""
        for ask in self.through:
            for body in self._keys()[-SHOWN:]:
                shown = await ask.send("GET", "/v1/me", body["token"], None)
                assert (shown.status, shown.body["permissions"]) == (200, [])
                assert told(await ask.send("GET", "/v1/users", body["token"], None)) == NO_RIGHT
            assert told(await self._make_key(ask, "key without a right", [])) == NO_RIGHT

    def _keys(self) -> list[Any]:
        """The answers of those who made a key, the last one made at the end."""
        made = [post for kind, post in self.posts if kind == "make_key" and post.done]
        return [post.body for post in sorted(made, key=lambda post: post.ended)]
