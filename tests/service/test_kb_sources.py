"""Google Docs as documents of the knowledge base, read from the stand-in."""

from __future__ import annotations

from services.sandbox.google_domain import FOLDER
from services.tools.google_client import GoogleClient
from services.tools.google_files import DriveFiles
from services.tools.kb_chunks import chunks
from services.tools.kb_ingest import Document
from services.tools.kb_sources import DriveSource
from services.tools.settings import ToolsSettings
from tests.service.drive_stage import SPEC
from tests.service.google_stage import google_stage


async def test_the_docs_of_a_folder_are_read_with_their_headings_and_other_files_left_out():
    async with google_stage(wired=False) as google:
        settings = ToolsSettings(_env_file=None, ASTRA_TOKEN="x", **google.environment)
        client = GoogleClient(settings.google_account)
        folder = await google.file("Specs", mime_type=FOLDER)
        spec = await google.file("Spec", parent=folder)
        sheet = await google.file("Sheet", mime_type="application/vnd.google-apps.spreadsheet")
        await google.admin("PUT", "/google-drive/documents", file_id=spec, text=SPEC)
        source = DriveSource(client, DriveFiles(client))
        prefix, documents = source.documents(folder)
        found = [each async for each in documents]
        alone = [each async for each in source.documents(sheet)[1]]
        await client.aclose()
    (document,) = found
    assert isinstance(document, Document)
    assert (f"{prefix}{spec}", "Spec", True) == (document.uri, document.title, document.markdown)
    assert document.url.startswith("http")
    (chunk,) = chunks(document.text, markdown=True)
    assert "Refunds" == chunk.heading
    assert "A buyer has 30 days." in chunk.text
    assert [f"google-drive:{sheet}/{sheet}"] == alone
