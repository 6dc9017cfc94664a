"""Ask on a terminal whether the user accepts a model's licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zeropoint.cli.console import Console

if TYPE_CHECKING:
    from zeropoint.catalogue.licences import AskLicence, Licence

__all__ = ["accept_licence", "ask_licence"]


def ask_licence(console: Console) -> AskLicence | None:
    """The function that asks, or None if nobody is at a terminal to answer."""
    if not console.can_ask:
        return None

    def ask(licence: Licence, model: str) -> bool:
        click.echo(f"{model} is under the {licence.name}: {licence.url}", err=True)
        try:
            return click.confirm("Have you read and do you accept these terms?", err=True)
        except click.Abort:  # the end of the input
            click.echo(err=True)
            return False

    return ask


def accept_licence(console: Console) -> AskLicence:
    """A function that accepts every licence, with a notice: the user said so on the command line."""

    def accept(licence: Licence, model: str) -> bool:
        console.notice(f"you accepted the {licence.name} ({licence.url}) for {model}")
        return True

    return accept
