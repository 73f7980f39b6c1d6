"""The knowledge base: documents, and their chunks with vectors and words.

Needs pgvector 0.8. Its extension is not trusted, so an owner who is no superuser finds it made already.

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072)
"""One partial index each; those of dimensions nobody uses are empty and cost nothing."""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("CREATE EXTENSION IF NOT EXISTS vector;")
    op.execute("""
        CREATE TABLE kb_documents (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            uri text COLLATE "C" NOT NULL,
            title text NOT NULL,
            url text NOT NULL DEFAULT '',
            content_sha256 text NOT NULL,
            embedding_model text NOT NULL,
            chunk_count integer NOT NULL,
            ingested_time timestamptz NOT NULL DEFAULT now(),
            UNIQUE (tenant_id, uri)
        );
        CREATE TABLE kb_chunks (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL,
            document_id uuid NOT NULL REFERENCES kb_documents (id) ON DELETE CASCADE,
            position integer NOT NULL,
            heading text NOT NULL DEFAULT '',
            text text NOT NULL,
            first_line integer NOT NULL,
            last_line integer NOT NULL,
            embedding_model text NOT NULL,
            embedded_sha256 text NOT NULL,
            dimensions integer NOT NULL,
            embedding halfvec NOT NULL,
            words tsvector NOT NULL,
            CONSTRAINT kb_chunks_dimensions_check CHECK (dimensions = vector_dims(embedding))
        )
        -- Words are read at each search, of every chunk: unpacking them first would be most of its time.
        WITH (toast_tuple_target = 8160);
        CREATE INDEX kb_chunks_document_id_idx ON kb_chunks (document_id);
        CREATE INDEX kb_chunks_known_idx ON kb_chunks (tenant_id, embedding_model, embedded_sha256);
    """)
    for dimensions in DIMENSIONS:
        op.execute(f"""
            CREATE INDEX kb_chunks_embedding_{dimensions}_idx ON kb_chunks
                USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
                WHERE dimensions = {dimensions};
        """)
    for table in ("kb_documents", "kb_chunks"):
        op.execute(f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON {table}
                USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
                WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
            GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO astra_service;
            GRANT SELECT ON {table} TO astra_operator;
        """)


def downgrade() -> None:
    op.execute("DROP TABLE kb_chunks, kb_documents;")
