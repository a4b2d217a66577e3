"""The transforms of ESP as the kernel names them, and what their keys and check values measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cipher:
    """A transform of ESP as the kernel names it. Lengths of keys in bytes, of the check value in bits.

    A combined mode (RFC 4106: the last 4 bytes of its key are the salt) has no `authentication`.
    """

    encryption: str
    encryption_bytes: int
    icv_bits: int
    authentication: str = ""
    authentication_bytes: int = 0

    @property
    def key_bytes(self) -> int:
        """The length of a whole key: encryption, then authentication."""
        return self.encryption_bytes + self.authentication_bytes


# RFC 4106 (16-byte ICV), RFC 3602 with RFC 2404 (HMAC-SHA-1-96) and RFC 4868 (HMAC-SHA-256-128).
CIPHERS = {
    "aes128-gcm": Cipher("rfc4106(gcm(aes))", 16 + 4, 128),
    "aes256-gcm": Cipher("rfc4106(gcm(aes))", 32 + 4, 128),
    "aes128-cbc-sha1": Cipher("cbc(aes)", 16, 96, "hmac(sha1)", 20),
    "aes256-cbc-sha1": Cipher("cbc(aes)", 32, 96, "hmac(sha1)", 20),
    "aes256-cbc-sha256": Cipher("cbc(aes)", 32, 128, "hmac(sha256)", 32),
}
