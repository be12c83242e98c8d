"""``course data``: datasets, and weights of networks."""

import sys

import click


@click.group()
def data() -> None:
    """List, download and verify datasets, and weights of networks."""


@data.command("list")
def list_data() -> None:
    """Show every dataset that can be loaded by name, and weights, and where they are."""
    from helpers.datasets import catalog
    from helpers.environment import download_size
    from helpers.vision import weights

    for name, entry in catalog.manifest().items():
        place = next(catalog.find(name), None)
        where = place.source(name) if place else f"not here ({download_size(name)} to download)"
        click.echo(f"{name:14} {entry['n_train'] + entry['n_test']:>7,}  {entry['title']}: {where}")
    for name in catalog.EMBEDDED:
        click.echo(f"{name:14} {'':>7}  comes with {catalog.PACKAGES[name]}")
    for name, entry in weights.known().items():
        missing = f"not here ({entry['bytes'] / 1e6:.0f} MB to download)"
        where = next((where for _, where in weights.places(entry["file"])), missing)
        click.echo(f"{name:14} {'':>7}  {entry['title']}: {where}")


def _check_names(names: tuple[str, ...]) -> None:
    from helpers.datasets import catalog
    from helpers.errors import DatasetError, nearest
    from helpers.vision import weights

    known = (*catalog.names(), *weights.known())
    for name in names:
        if name not in known:
            raise DatasetError(
                f"{name!r} is not a known dataset; known are {', '.join(known)}."
                + nearest(name, known)
            )


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def fetch(names: tuple[str, ...]) -> None:
    """Make sure that datasets and weights are on this machine; download what is not."""
    from helpers.datasets import catalog
    from helpers.vision import weights

    _check_names(names)
    for name in names:
        if name in catalog.EMBEDDED:
            where = f"comes with {catalog.PACKAGES[name]}"
        elif name in weights.known():
            where = weights.fetch(name)
        else:
            where = catalog.load_named(name).source
        click.echo(f"{name}: {where}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME…]")
def verify(names: tuple[str, ...]) -> None:
    """Verify the content of every copy found; exit 0 only if each is good and none is missing."""
    from helpers.datasets import catalog
    from helpers.vision import weights

    _check_names(names)
    good = True
    for name in names or (*catalog.manifest(), *weights.known()):
        if name in catalog.EMBEDDED:
            click.echo(f"{name}: comes with {catalog.PACKAGES[name]}")
            continue
        copies = list((weights if name in weights.known() else catalog).copies(name))
        for where, damage in copies:
            click.echo(
                f"{name}: {where} is good" if damage is None else f"{name}: {where}: {damage}"
            )
            good = good and damage is None
        if not copies:
            click.echo(f"{name}: not here")
            good = good and not names
    sys.exit(0 if good else 1)
