"""What `manage.py doctor` looks at: when each machine's worker swept, and how a probe arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "worker_heartbeats",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_worker_heartbeats")),
    )
    op.create_table(
        "doctor_probes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remote_addr", sa.String(length=45), nullable=True),
        sa.Column("forwarded_for", sa.String(length=300), nullable=True),
        sa.Column("body_hash", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doctor_probes")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_doctor_probes_secret_hash")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("doctor_probes")
    op.drop_table("worker_heartbeats")
