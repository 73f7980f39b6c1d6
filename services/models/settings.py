"""What the models service reads from its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, Json, SecretStr

from services.common.settings import ServiceSettings

_NONE = SecretStr("")


class ModelsSettings(ServiceSettings):
    """Settings of the models service. A provider whose variables are empty is off."""

    port: int = Field(7003, alias="MODELS_PORT")
    """Port it listens on; 0 takes a free one."""
    default_model: str = Field("", alias="DEFAULT_MODEL")
    """Alias of the model that answers when nothing else is said. Empty: the catalogue's default route."""
    own_catalogue: Path | None = Field(None, alias="MODELS_CATALOGUE")
    """A file whose models, labels, routes and servers go before the shipped ones. Unset: none."""

    embedding_model: str = Field("minilm", alias="EMBEDDING_MODEL")
    """Alias of the embedding model that is used when a call names none, as the knowledge base does."""

    openai_base_url: str = Field("", alias="OPENAI_BASE_URL")
    """Any OpenAI-compatible server, as in http://127.0.0.1:8000/v1."""
    openai_api_key: SecretStr = Field(_NONE, alias="OPENAI_API_KEY")
    """Its key. Empty: the server asks for none."""
    openai_model: str = Field("local", alias="OPENAI_MODEL")
    """That server's own name of the model behind the alias `local`."""
    openai_embedding_model: str = Field("text-embedding-3-small", alias="OPENAI_EMBEDDING_MODEL")
    """That server's own name of the embedding model behind the alias `openai`."""
    foundry_endpoint: str = Field("", alias="FOUNDRY_ENDPOINT")
    """Azure AI Foundry, as in https://<resource>.services.ai.azure.com/openai/v1/."""
    foundry_api_key: SecretStr = Field(_NONE, alias="FOUNDRY_API_KEY")
    """Its key."""
    foundry_model: str = Field("Kimi-K2.6", alias="FOUNDRY_MODEL")
    """Name of the deployment behind the alias `kimi`."""
    moonshot_base_url: str = Field("https://api.moonshot.ai/v1", alias="MOONSHOT_BASE_URL")
    """Moonshot's own API."""
    moonshot_api_key: SecretStr = Field(_NONE, alias="MOONSHOT_API_KEY")
    """Its key."""
    zai_base_url: str = Field("https://api.z.ai/api/paas/v4", alias="ZAI_BASE_URL")
    """Z.ai's own API."""
    zai_api_key: SecretStr = Field(_NONE, alias="ZAI_API_KEY")
    """Its key."""
    server_keys: Json[dict[str, SecretStr]] = Field(
        default_factory=dict, alias="MODELS_SERVER_KEYS", validate_default=False
    )
    """Keys of servers in your own catalogue: JSON, as in {"VLLM_KEY": "…"} for api_key = "$VLLM_KEY"."""

    anthropic_api_key: SecretStr = Field(_NONE, alias="ANTHROPIC_API_KEY")
    """Key of Anthropic's own API."""
    anthropic_base_url: str = Field("", alias="ANTHROPIC_BASE_URL")
    """Another server in its place. Empty: Anthropic's."""

    aws_region: str = Field("", alias="AWS_REGION")
    """Region of Bedrock."""
    aws_default_region: str = Field("", alias="AWS_DEFAULT_REGION")
    """The same, where AWS_REGION is empty."""
    aws_bearer_token_bedrock: SecretStr = Field(_NONE, alias="AWS_BEARER_TOKEN_BEDROCK")
    """A Bedrock API key. It goes before every other way to sign in."""
    aws_access_key_id: str = Field("", alias="AWS_ACCESS_KEY_ID")
    """An access key, with AWS_SECRET_ACCESS_KEY and for temporary ones AWS_SESSION_TOKEN."""
    aws_secret_access_key: SecretStr = Field(_NONE, alias="AWS_SECRET_ACCESS_KEY")
    """Its secret."""
    aws_session_token: SecretStr = Field(_NONE, alias="AWS_SESSION_TOKEN")
    """Its session token."""
    aws_profile: str = Field("", alias="AWS_PROFILE")
    """A profile of ~/.aws."""
    aws_web_identity_token_file: str = Field("", alias="AWS_WEB_IDENTITY_TOKEN_FILE")
    """A pod's identity (IRSA), as EKS sets it; boto3 reads it itself."""
    aws_container_credentials_relative_uri: str = Field("", alias="AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    """A task's role, as ECS sets it; boto3 reads it itself."""
    aws_container_credentials_full_uri: str = Field("", alias="AWS_CONTAINER_CREDENTIALS_FULL_URI")
    """A pod's or task's role, as EKS and ECS set it; boto3 reads it itself."""
    bedrock_instance_role: bool = Field(False, alias="BEDROCK_INSTANCE_ROLE")
    """Sign in by the role of the EC2 instance, which no variable tells of."""
    aws_endpoint_url_bedrock_runtime: str = Field("", alias="AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    """Another endpoint in place of the region's. Empty: the region's."""

    script: Path | None = Field(None, alias="MODELS_SCRIPT")
    """A script for the model `scripted`, see scripted.py. Unset: there is no such model."""
    script_log: Path | None = Field(None, alias="MODELS_SCRIPT_LOG")
    """File that gets one line for each call of `scripted`. Unset: calls are counted in memory."""

    @property
    def bedrock_region(self) -> str:
        """Region of Bedrock; empty if none is named."""
        return self.aws_region or self.aws_default_region

    @property
    def variables(self) -> dict[str, str]:
        """What a `$NAME` in a catalogue may stand for, secrets among them."""
        return {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": self.openai_api_key.get_secret_value(),
            "OPENAI_MODEL": self.openai_model,
            "OPENAI_EMBEDDING_MODEL": self.openai_embedding_model,
            "FOUNDRY_ENDPOINT": self.foundry_endpoint,
            "FOUNDRY_API_KEY": self.foundry_api_key.get_secret_value(),
            "FOUNDRY_MODEL": self.foundry_model,
            "MOONSHOT_BASE_URL": self.moonshot_base_url,
            "MOONSHOT_API_KEY": self.moonshot_api_key.get_secret_value(),
            "ZAI_BASE_URL": self.zai_base_url,
            "ZAI_API_KEY": self.zai_api_key.get_secret_value(),
            **{name: key.get_secret_value() for name, key in self.server_keys.items()},
        }
