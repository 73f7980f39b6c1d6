"""Every service on its own, from the installed wheel, in the environment the chart sets, passes the smoke."""

from __future__ import annotations

from pathlib import Path

from services.cli.smoke import Job, run_smoke
from tests.processes.conftest import RunInstallation
from tests.processes.pods import PORTS


async def test_every_service_on_its_own_passes_the_smoke_and_ends_when_told(
    installation: RunInstallation, repository: Path
):
    async with installation() as (cluster, told):
        for source in ("github", "manual"):
            job = Job(source=source, repository=str(repository))
            result = await run_smoke(told.stack, told.clients, job)
            assert ("success", source, "[R0]") == (result["outcome"], result["source"], result["label"])
            assert result["reply"].startswith("[R0] ")
            assert "repo_list_files" in result["tools_called"]
        codes = await cluster.end_all()
    assert dict.fromkeys(PORTS, 0) == codes
    assert [] == cluster.errors()
