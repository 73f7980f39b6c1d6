"""Which ids Bedrock answers under: most models refuse their bare id and want an inference profile."""

from __future__ import annotations

import re

_GEOGRAPHIES = "us|us-gov|eu|apac|jp|au|ca|sa|global"
_PROFILE = re.compile(rf"(?:{_GEOGRAPHIES})\.(?P<model>[a-z0-9-]+\.[A-Za-z0-9.:_-]+)")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d{0,12}:[a-z-]+/\S+")
_BARE = re.compile(r"(?P<vendor>[a-z0-9-]+)\.[A-Za-z0-9.:_-]+")
_PROFILE_ONLY = frozenset({"anthropic"})
"""Vendors none of whose models in use is served by its bare id, whatever a catalogue says."""


def problem_with(model_id: str, *, on_demand: bool) -> str:
    """Why Bedrock would refuse this id; empty if it would not.

    `on_demand` says that Bedrock serves the model by its bare id, as it does for most open models.
    """
    if _ARN.fullmatch(model_id) or _PROFILE.fullmatch(model_id):
        return ""
    bare = _BARE.fullmatch(model_id)
    if bare is None:
        return f"{model_id} is no Bedrock model id, inference profile or ARN"
    if on_demand and bare["vendor"] not in _PROFILE_ONLY:
        return ""
    return (
        f"{model_id} is a bare Bedrock model id, which on-demand throughput does not serve; name an "
        f"inference profile such as us.{model_id} or its ARN"
        + ("" if bare["vendor"] in _PROFILE_ONLY else ", or say on_demand = true if Bedrock does serve it")
    )


def foundation_model(model_id: str) -> str:
    """The model behind an inference profile of AWS's own, which counting goes by; any other id as it is."""
    profile = _PROFILE.fullmatch(model_id)
    return profile["model"] if profile else model_id
