"""What can go wrong between a caller and a model. No message here repeats a provider's own text."""

from __future__ import annotations

from services.common.errors import Exhausted, NotFound, Refused, Unavailable


class ModelNotFound(NotFound):
    """No model has this alias."""

    reason = "MODEL_NOT_FOUND"


class ModelOff(Refused):
    """The model's provider is not configured."""

    reason = "MODEL_OFF"


class ModelUnavailable(Unavailable):
    """The provider failed, cannot be reached, fell silent, or cut its stream."""

    reason = "MODEL_UNAVAILABLE"


class ModelRateLimited(Exhausted):
    """The provider asks to slow down; `retry_after` is always set."""

    reason = "MODEL_RATE_LIMITED"


class ModelRefused(Refused):
    """The provider refuses this request for good."""

    reason = "MODEL_REFUSED"


class ModelContextExceeded(Refused):
    """The conversation no longer fits the model."""

    reason = "MODEL_CONTEXT_EXCEEDED"


class ModelFiltered(Refused):
    """The provider's content filter refuses the conversation."""

    reason = "MODEL_FILTERED"
