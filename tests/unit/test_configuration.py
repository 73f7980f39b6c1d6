"""Every setting a service reads is told to whoever copies `.env.example`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings
from services.astra.principals import PRINCIPALS
from services.astra.settings import AstraSettings
from services.cli.configuration import (
    VENDORS,
    ConfigurationMissing,
    operators,
    token_variable,
    tokens,
    unconfigured,
)
from services.cli.doctor import examine
from services.cli.state import StateDirectory
from services.dispatcher.settings import DispatcherSettings
from services.models.settings import ModelsSettings
from services.tools.settings import ToolsSettings
from services.worker.settings import WorkerSettings

EXAMPLE = (Path(__file__).parents[2] / ".env.example").read_text()
SETTINGS = (
    AstraSettings,
    DispatcherSettings,
    GatewaySettings,
    ModelsSettings,
    ToolsSettings,
    WorkerSettings,
)


def described() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda each: each.__name__)
def test_every_setting_is_described_in_the_example(settings):
    read = {field.alias for field in settings.model_fields.values()}
    assert set() == read - described()


def test_every_described_variable_is_read_by_somebody():
    read = {field.alias for settings in SETTINGS for field in settings.model_fields.values()}
    read |= {token_variable(name) for name in PRINCIPALS}
    read |= {"OWNER_DATABASE_URL", "OPERATOR_DATABASE_URL", "OPERATOR_IDENTITIES", "ASTRA_STATE"}
    read |= {f"{role}_DATABASE_PASSWORD" for role in ("SERVICE", "RELAY", "OPERATOR")}
    assert set() == described() - read


@pytest.mark.parametrize(
    ("share", "verdict"), [(0, "off"), (1, "missing"), (None, "ok")], ids=["nothing", "one", "all of it"]
)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_doctor_calls_a_half_configured_source_missing(vendor, share, verdict, tmp_path):
    findings = await examine(StateDirectory(tmp_path), dict.fromkeys(VENDORS[vendor][:share], "set"))
    assert [verdict] == [each.verdict for each in findings if each.subject == vendor]


def test_a_vendor_is_played_only_when_nothing_of_it_is_configured():
    assert list(VENDORS) == unconfigured({})
    for vendor, needed in VENDORS.items():
        assert [each for each in VENDORS if each != vendor] == unconfigured({needed[0]: "set"})


def test_missing_tokens_are_named_all_at_once():
    with pytest.raises(ConfigurationMissing, match=r"Set API_KEY: "):
        tokens({token_variable(name): "t" for name in PRINCIPALS if name != "api"})


def test_operators_are_read_whole_or_the_odd_one_is_named():
    several = {"OPERATOR_IDENTITIES": "github:583231, slack:T012ABCDE/U012ABCDE,"}
    assert ["github:583231", "slack:T012ABCDE/U012ABCDE"] == operators(several)
    assert [] == operators({})
    with pytest.raises(ConfigurationMissing, match=r"OPERATOR_IDENTITIES.*github:maria"):
        operators({"OPERATOR_IDENTITIES": "github:1,github:maria"})
