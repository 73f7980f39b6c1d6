"""Reads a vendor's answer up to a length."""

from __future__ import annotations

import aiohttp

from services.tools.vendor_errors import VendorTooLong, VendorUnavailable

ANSWER_BYTES_MAX = 16 * 1024 * 1024


async def bounded(response: aiohttp.ClientResponse, vendor: str) -> bytes:
    """The body. One too long is VendorTooLong for what was read; a write may have been done all the same."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            is_content = response.method == "GET" and response.ok
            raise (VendorTooLong if is_content else VendorUnavailable)(
                f"{vendor}'s answer is too long to be read."
            )
    return bytes(body)
