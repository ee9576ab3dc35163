"""Keystone's service token: with it beside an expired token, Glance goes on with what had begun in time.

keystonemiddleware accepts an expired token within keystone's ``allow_expired_window`` when
``X-Service-Token`` comes with it, of an account with the role that Glance calls a service's. Where there
is no keystone to be had, uploads go on without. Imported only where there is an account: httpx takes 4 MiB
in each process, and a tenth of a second of its start.
"""

import asyncio
import datetime as dt
import logging
import ssl
from typing import Any

import httpx

from shim.service.service_account import ServiceAccount
from shim.timing import Clock, Seconds, monotonic

log = logging.getLogger("shim.glance")

PATIENCE: Seconds = 5.0
# A keystone that is down is not asked again by every upload.
PAUSE_AFTER_FAILURE: Seconds = 5.0
# Of its life; a token must still be good when Glance has taken the body, so it is renewed early.
RENEWED_AFTER = 0.5


class ServiceTokens:
    """The account's token, fetched when it is needed and renewed long before it ends."""

    def __init__(
        self,
        account: ServiceAccount,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Take the account; ``transport`` replaces the network in tests."""
        self._account = account
        self._transport = transport
        self._clock = clock
        self._token: bytes | None = None
        self._good_until: Seconds = 0.0
        self._fetching = asyncio.Lock()

    async def token(self) -> bytes | None:
        """A token that is good for a while, or None where keystone gives none (the log says why)."""
        async with self._fetching:
            if self._clock() >= self._good_until:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        try:
            self._token, life = await self._fetch()
        # Neither InvalidURL nor the groups that come of connecting are HTTPErrors; whatever it is, the upload
        # has been taken, and goes on.
        except Exception as error:  # noqa: BLE001 - httpx's border, and the log tells it
            self._token, life = None, PAUSE_AFTER_FAILURE / RENEWED_AFTER
            log.warning(
                "No service token from %s, so uploads whose token expires will be refused: %s: %s",
                self._account.auth_url,
                type(error).__name__,
                error,
            )
        self._good_until = self._clock() + life * RENEWED_AFTER

    async def _fetch(self) -> tuple[bytes, Seconds]:
        """A new token, and how long it lives."""
        verify = ssl.create_default_context(cafile=self._account.ca_file)
        # A client for each fetch: no cookie of one answer goes with the next question.
        async with httpx.AsyncClient(
            trust_env=False, timeout=PATIENCE, verify=verify, transport=self._transport
        ) as client:
            url = f"{self._account.auth_url.rstrip('/')}/auth/tokens"
            answer = await client.post(url, json=self._account.request())
        if not answer.is_success:
            # Its text may repeat what was sent; the status says enough.
            raise ValueError(f"keystone answered {answer.status_code}")
        return answer.headers["x-subject-token"].encode("ascii"), _life_of(answer.json()["token"])


def _life_of(token: dict[str, Any]) -> Seconds:
    # By keystone's own clock at both ends: ours may be wrong.
    issued, expires = (dt.datetime.fromisoformat(token[key]) for key in ("issued_at", "expires_at"))
    return (expires - issued).total_seconds()
