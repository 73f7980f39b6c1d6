"""What a vendor's API can answer that a caller should know about. The vendor's own text stays out."""

from __future__ import annotations

from services.common.errors import Exhausted, Refused, Unavailable


class VendorUnavailable(Unavailable):
    """The vendor failed or cannot be reached. After a write it may have been done all the same."""

    reason = "VENDOR_UNAVAILABLE"


class VendorRateLimited(Exhausted):
    """The vendor asks to slow down and did nothing; `retry_after` is always set."""

    reason = "VENDOR_RATE_LIMITED"


class VendorRefused(Refused):
    """The vendor refuses for good: gone, locked, or not allowed."""

    reason = "VENDOR_REFUSED"


class VendorTooLong(VendorRefused):
    """What is there is more than is read at once, and asking again makes it no less."""


class SourceOff(Refused):
    """The source has no credentials here."""

    reason = "SOURCE_OFF"
