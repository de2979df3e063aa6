"""Login and request rates of the practice exchange.

The flow is Kite's: login page, request token, checksum, access token until 06:00 IST of the next day. Rates are
counted in exchange time, so a session that keeps its own clock by the exchange meets the same limits at any speed.
Source: `brokers_and_market`, sections 1.1 and 1.4.
"""

import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.practice.orders import Refused

API_KEY = "practicekey"
API_SECRET = "practicesecret"  # noqa: S105 - the published secret of a stand-in that holds no money

ORDERS_PER_SECOND = 10
ORDERS_PER_MINUTE = 400
ORDERS_PER_DAY = 5000
QUOTES_PER_SECOND = 1
HISTORY_PER_SECOND = 3
OTHERS_PER_SECOND = 10

EXCHANGES = ["NSE", "NFO"]
PRODUCTS = ["NRML", "MIS"]
ORDER_TYPES = ["MARKET", "LIMIT", "SL", "SL-M"]


@dataclass
class Login:
    """Request tokens given out, and access tokens that are good."""

    user_id: str
    api_key: str = API_KEY
    api_secret: str = API_SECRET
    request_tokens: set[str] = field(default_factory=set)
    access_tokens: set[str] = field(default_factory=set)

    def open_page(self, api_key: str | None) -> str:
        """
        A request token, as the login page gives it after a successful login.

        Raises
        ------
        Refused
            If the api key is not this exchange's.
        """
        if api_key != self.api_key:
            raise Refused("InputException", "Invalid `api_key`.")
        token = secrets.token_hex(16)
        self.request_tokens.add(token)
        return token

    def exchange_token(self, form: dict[str, str]) -> str:
        """
        An access token for a request token, once.

        Raises
        ------
        Refused
            TokenException, HTTP 403, if key, checksum or request token are wrong or used.
        """
        request_token = form.get("request_token", "")
        wanted = hashlib.sha256(f"{self.api_key}{request_token}{self.api_secret}".encode()).hexdigest()
        if form.get("api_key") != self.api_key or form.get("checksum") != wanted:
            raise Refused("TokenException", "Invalid `checksum`.", 403)
        if request_token not in self.request_tokens:
            raise Refused("TokenException", "Token is invalid or has expired.", 403)
        self.request_tokens.remove(request_token)
        return self.grant()

    def grant(self) -> str:
        """A new access token."""
        token = secrets.token_hex(16)
        self.access_tokens.add(token)
        return token

    def is_good(self, api_key: str | None, access_token: str | None) -> bool:
        """Whether a pair of key and access token is logged in."""
        return api_key == self.api_key and access_token in self.access_tokens

    def check(self, api_key: str | None, access_token: str | None) -> None:
        """
        Let a request pass.

        Raises
        ------
        Refused
            TokenException, HTTP 403.
        """
        if not self.is_good(api_key, access_token):
            raise Refused("TokenException", "Incorrect `api_key` or `access_token`.", 403)

    def expire(self) -> None:
        """Make every access token worthless."""
        self.access_tokens.clear()

    def profile(self) -> dict[str, Any]:
        """GET /user/profile."""
        return {
            "user_id": self.user_id,
            "user_type": "individual",
            "user_name": "Practice Trader",
            "user_shortname": "Practice",
            "email": "trader@practice.invalid",
            "broker": "PRACTICE",
            "exchanges": EXCHANGES,
            "products": PRODUCTS,
            "order_types": ORDER_TYPES,
            "avatar_url": None,
            "meta": {"demat_consent": "physical"},
        }

    def full_profile(self) -> dict[str, Any]:
        """GET /user/profile/full."""
        return {
            **self.profile(),
            "twofa_type": "totp",
            "phone": "*0000",
            "bank_accounts": [{"name": "PRACTICE BANK", "branch": "", "account": "*0000"}],
            "dp_ids": ["0"],
            "pan": "*000P",
            "tags": [],
            "password_timestamp": "1970-01-01 00:00:00",
            "twofa_timestamp": "1970-01-01 00:00:00",
            "meta": {"poa": "", "silo": "", "account_blocks": []},
        }

    def session(self, access_token: str, login_time: str) -> dict[str, Any]:
        """POST /session/token."""
        return {
            **self.profile(),
            "avatar_url": "",
            "api_key": self.api_key,
            "access_token": access_token,
            "public_token": secrets.token_hex(16),
            "enctoken": "",
            "refresh_token": "",
            "silo": "",
            "login_time": login_time,
        }


@dataclass
class Rates:
    """
    Requests counted per second, minute and day of exchange time; refused ones count too.

    Attributes
    ----------
    reads_limited : bool
        Reads are limited only where exchange time flows by itself: while it stands still between two moments, any
        number of them would fall into one second.
    orders_limited : bool
        Off for a rehearsal without latency, in which a whole answer to a moment falls into one second.
    """

    reads_limited: bool
    orders_limited: bool = True
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def order(self, ms: int) -> None:
        """Count an order request; NetworkException, HTTP 429, above a limit."""
        limits = (
            ("second", ms // 1000, ORDERS_PER_SECOND),
            ("minute", ms // 60_000, ORDERS_PER_MINUTE),
            ("day", 0, ORDERS_PER_DAY),
        )
        if not self.orders_limited:
            return
        over = None
        for name, place, limit in limits:
            self.counts[name, place] += 1
            if self.counts[name, place] > limit:
                over = over or f"Maximum allowed order requests exceeded ({limit} per {name})."
        if over:
            raise Refused("NetworkException", over, 429)

    def read(self, kind: str, ms: int) -> None:
        """Count a read request of "quote", "history" or "other"."""
        if not self.reads_limited:
            return
        limit = {"quote": QUOTES_PER_SECOND, "history": HISTORY_PER_SECOND}.get(kind, OTHERS_PER_SECOND)
        self.counts[kind, ms // 1000] += 1
        if self.counts[kind, ms // 1000] > limit:
            raise Refused("NetworkException", "Too many requests", 429)
