"""API keys: who may ask, read from a TOML file that holds only their hashes.

::

    signing_secret = "…"            # signs customer ids, see `Keys.signed`

    [[keys]]
    name = "web"
    scope = "public"                # or "secret"
    sha256 = "9f86d081884c7d65…"    # SHA-256 of the key, in hex
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

Scope = Literal["public", "secret"]


class KeysError(ValueError):
    """The file of keys cannot be used; the message names it and what is wrong."""


class Key(BaseModel):
    """One key. A public key may stand in a page; a secret key stays on servers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1)]
    scope: Scope
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Keys(BaseModel):
    """All keys of a shop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = Field(min_length=1)
    signing_secret: SecretStr | None = None

    def find(self, presented: str) -> Key | None:
        """The key that was presented, or None. Takes the same time whichever it is, and whether or not it is one."""
        digest = hashlib.sha256(presented.encode()).hexdigest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def signed(self, customer_id: str, signature: str) -> bool:
        """Whether ``signature`` is the hex HMAC-SHA256 (RFC 2104) of the customer id under the signing secret."""
        if self.signing_secret is None:
            return False
        expected = hmac.new(self.signing_secret.get_secret_value().encode(), customer_id.encode(), hashlib.sha256)
        return hmac.compare_digest(expected.hexdigest().encode(), signature.lower().encode())


def read_keys(path: Path) -> Keys:
    """The keys of a file.

    Raises:
        KeysError: it cannot be read, is not TOML, or holds no usable keys.
    """
    try:
        return Keys.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise KeysError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise KeysError(f"{path}: {error}") from None
