"""What the shop answers, and to whom."""

import click

from app.cli.context import load_config

_SHOWN = ("GET", "POST", "PUT", "PATCH", "DELETE")


@click.command
def command() -> None:
    """List every route with its methods and who may call it."""
    from app import create_app

    app = create_app(load_config())
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint)):
        methods = ",".join(method for method in _SHOWN if method in (rule.methods or ()))
        guard = getattr(app.view_functions[rule.endpoint], "guard", "-")
        click.echo(f"{methods:<22}  {rule.rule:<46}  {guard}")
