"""What this installation makes of the catalogue: which file it reads, and which providers are on."""

from __future__ import annotations

from collections.abc import Mapping

from services.models import catalogue_file, scripted
from services.models.catalogue import Catalogue, build, resolved
from services.models.catalogue_file import CatalogueError, CatalogueFile, ServerTable
from services.models.embedding.catalogue import EmbeddingCatalogue, build_embeddings
from services.models.settings import ModelsSettings

BUILT_IN = ("anthropic", "bedrock", "rehearsal")
Servers = Mapping[str, ServerTable]


def read_catalogue_file(settings: ModelsSettings) -> CatalogueFile:
    """The shipped catalogue under the installation's own, if it has one. Raises CatalogueError."""
    try:
        own = settings.own_catalogue.read_text() if settings.own_catalogue else ""
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"MODELS_CATALOGUE cannot be read: {error}") from None
    return catalogue_file.read(catalogue_file.shipped(), own)


def build_catalogue(settings: ModelsSettings, file: CatalogueFile) -> Catalogue:
    """The catalogue as these settings leave it. Raises CatalogueError."""
    return build(
        file,
        off_reasons=off_reasons(settings, file.servers),
        variables=settings.variables,
        extra=[scripted.ENTRY] if settings.script else [],
    )


def build_embedding_catalogue(settings: ModelsSettings, file: CatalogueFile) -> EmbeddingCatalogue:
    """The embedding models as these settings leave them. Raises CatalogueError, ModelNotFound, ModelOff."""
    return build_embeddings(
        file,
        off_reasons=off_reasons(settings, file.servers),
        variables=settings.variables,
        default_alias=settings.embedding_model,
    )


def off_reasons(settings: ModelsSettings, servers: Servers) -> dict[str, str]:
    """Every provider and why it is off, empty if it is on. Raises CatalogueError."""
    for name in servers:
        if name in BUILT_IN:
            raise CatalogueError(f"server {name}: the name is taken by a provider of its own kind")
    return {
        "rehearsal": "",
        "anthropic": "" if settings.anthropic_api_key.get_secret_value() else "ANTHROPIC_API_KEY is not set",
        "bedrock": _bedrock_off_reason(settings),
        **{name: _server_off_reason(name, server, settings.variables) for name, server in servers.items()},
    }


def _bedrock_off_reason(settings: ModelsSettings) -> str:
    if not settings.bedrock_region:
        return "AWS_REGION is not set"
    signs_in = (
        settings.aws_bearer_token_bedrock.get_secret_value()
        or (settings.aws_access_key_id and settings.aws_secret_access_key.get_secret_value())
        or settings.aws_profile
        or settings.aws_web_identity_token_file
        or settings.aws_container_credentials_relative_uri
        or settings.aws_container_credentials_full_uri
        or settings.bedrock_instance_role
    )
    if signs_in:
        return ""
    return (
        "neither AWS_BEARER_TOKEN_BEDROCK nor AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY nor a role is set"
    )


def _server_off_reason(name: str, server: ServerTable, variables: Mapping[str, str]) -> str:
    wanted = [server.base_url, *([server.api_key] if server.key_needed and server.api_key else [])]
    missing = [each.removeprefix("$") for each in wanted if not resolved(each, variables, f"server {name}")]
    return f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set" if missing else ""
