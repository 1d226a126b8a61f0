"""The command line: `python -m bench.growth`."""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import func, select

from app.config import Config
from app.models import User
from bench.crowd import gather
from bench.fill import plain_dsn
from bench.growth.counts import Asked, Meter, Spent, Table, asked_of, tables_of
from bench.growth.store import Store, open_store
from bench.growth.story import PAID, STEPS, Step, Story
from bench.load import Request
from bench.options import FEW, Options
from bench.shop import Shop, Shops
from drill.processes import end_as_by_hand

_COUNTED = 50
"""Orders whose statements are counted, before the others are timed: to count makes slow."""

_IN_REDIS = 200
_LIMITS = {
    "RATE_LIMITS_ENABLED": "true",
    "MAX_OPEN_ORDERS": "100000000",
    "WRITE_LIMIT": "1000000 per minute",
    "PROMPT_USER_LIMIT": "1000000 per minute",
}


@click.command(context_settings={"show_default": True})
@click.option("--orders", type=click.IntRange(500), default=2_000, help="How many are timed.")
def main(orders: int) -> None:
    """Print what an order of two lines costs on PostgreSQL, step by step, and what it leaves.

    The shop's own app is asked, in this process; docs/scaling.md reckons with the figures. Redis is
    left out where redis-server is not installed.
    """
    end_as_by_hand()
    with Shops(Options(databases=("postgresql",))) as shops, ExitStack() as closing:
        shop = closing.enter_context(shops.open("postgresql", FEW, purpose="growth", **_LIMITS))
        closing.enter_context(_logs_thrown_away())
        requests = gather(shop).spread()
        story = Story(Config.from_environment(shop.environment), requests)
        story.add_webhook(_some_user(shop))
        meter = Meter(plain_dsn(shop.database), shops.postgres_seconds)
        _conditions(orders)
        asked = _count(story)
        before = tables_of(meter.dsn)
        _show_costs(story, asked, range(_COUNTED, _COUNTED + orders), meter)
        _show_tables(before, tables_of(meter.dsn), orders)
        story.check()
        with open_store() as store:
            if store is not None:
                _show_store(store, shop, requests)


def _count(story: Story) -> dict[str, Asked]:
    """What each step asks of the database, for all that are counted."""
    counted = {}
    for name, step in STEPS.items():
        with asked_of(story.database) as counted[name]:
            step(story, range(_COUNTED))
    return counted


def _spent_by(story: Story, step: Step, numbers: range, meter: Meter) -> Spent:
    """For each of them."""
    began = meter.read()
    step(story, numbers)
    ended, count = meter.read(), len(numbers)
    return Spent(
        (ended.shop - began.shop) / count,
        (ended.postgres - began.postgres) / count,
        (ended.wal_bytes - began.wal_bytes) // count,
    )


def _conditions(orders: int) -> None:
    click.echo(
        f"{datetime.now(UTC):%d %b %Y}, {os.cpu_count()} processors, Python"
        f" {platform.python_version()}, {orders:,} orders; each line is for one order."
    )


def _show_costs(story: Story, counted: dict[str, Asked], orders: range, meter: Meter) -> None:
    """Line by line, as they are measured."""
    click.echo(
        "\n| step | statements | transactions | commits | the shop | PostgreSQL | its log |"
        "\n|---|---|---|---|---|---|---|"
    )
    for name, step in STEPS.items():
        asked, spent = counted[name], _spent_by(story, step, orders, meter)
        click.echo(
            f"| {name} | {asked.statements / _COUNTED:.1f}"
            f" | {asked.transactions / _COUNTED:.1f} | {asked.commits / _COUNTED:.1f}"
            f" | {spent.shop * 1e3:.2f} ms | {spent.postgres * 1e3:.2f} ms"
            f" | {spent.wal_bytes / 1000:.1f} kB |"
        )


def _show_tables(before: dict[str, Table], after: dict[str, Table], orders: int) -> None:
    click.echo("\n| table | rows | bytes | of its indexes |\n|---|---|---|---|")
    rows = table_bytes = index_bytes = 0.0
    for name, now in sorted(after.items()):
        grown = Table(
            now.rows - before[name].rows,
            now.table_bytes - before[name].table_bytes,
            now.index_bytes - before[name].index_bytes,
        )
        if not (grown.rows or grown.table_bytes or grown.index_bytes):
            continue
        _show_table(name, grown, orders)
        rows += grown.rows
        table_bytes += grown.table_bytes
        index_bytes += grown.index_bytes
    _show_table("all", Table(int(rows), int(table_bytes), int(index_bytes)), orders)


def _show_table(name: str, grown: Table, orders: int) -> None:
    click.echo(
        f"| {name} | {grown.rows / orders:.1f} | {grown.table_bytes / orders:,.0f}"
        f" | {grown.index_bytes / orders:,.0f} |"
    )


def _show_store(store: Store, shop: Shop, requests: list[Request]) -> None:
    config = Config.from_environment({**shop.environment, "REDIS_URL": store.url})
    story = Story(config, requests, store.doorbell())
    click.echo("\n| step, with Redis | its commands |\n|---|---|")
    for name, step in PAID.items():
        began = store.commands()
        step(story, range(_IN_REDIS))
        ended = store.commands()
        told = ", ".join(
            f"{(count - began.get(word, 0)) / _IN_REDIS:.1f} {word}"
            for word, count in sorted(ended.items())
            if (count - began.get(word, 0)) / _IN_REDIS >= 0.05  # noqa: PLR2004 - shown as 0.1
        )
        click.echo(f"| {name} | {told or 'none'} |")
    story.check()
    click.echo(f"\nThis Redis counts {store.rate():,.0f} times a second, asked by 16 at a time.")


def _some_user(shop: Shop) -> int:
    with shop.database.reading() as session:
        return session.scalars(select(func.min(User.id))).one()


@contextmanager
def _logs_thrown_away() -> Iterator[None]:
    """They are written all the same, as a shop does."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield
