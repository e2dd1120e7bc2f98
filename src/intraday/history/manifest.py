"""Which files are bar files and what they hold: walking folders, and the manifest that may lie beside them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intraday.domain.errors import InputError
from intraday.domain.instruments import Kind

MANIFEST_NAME = "instruments.csv"
MANIFEST_LEVELS = 3  # the folder given and two above it
SUFFIXES = (".parquet", ".csv")
INDEX_NAMES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "INDIA VIX", "INDIAVIX", "SENSEX", "BANKEX")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a manifest says of one file."""

    symbol: str
    kind: Kind
    exchange: str
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file to import, and its line of the manifest if it has one."""

    path: Path
    listing: Listing | None


@dataclass(frozen=True, slots=True)
class Discovery:
    """Files to import, in order, and those in the same folders that a manifest does not list (so they are no bar files)."""

    files: tuple[BarFile, ...]
    skipped: tuple[Path, ...]


def read_manifest(path: Path) -> dict[Path, Listing]:
    """Columns file, symbol, kind, exchange and perhaps dataset; ``file`` relative to the manifest. Keyed by absolute path."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a readable manifest, found none ({error}); check --manifest") from error
    wanted = {"file", "symbol", "kind", "exchange"}
    if not rows or not wanted <= rows[0].keys():
        found = ", ".join(rows[0]) if rows else "no rows"
        raise InputError(f"{path}: expected a manifest with columns file, symbol, kind, exchange; found {found}")
    return {(path.parent / row["file"]).resolve(): _listing(path, row) for row in rows}


def _listing(path: Path, row: Mapping[str, str]) -> Listing:
    kinds = {kind.value: kind for kind in Kind} | {"etf": Kind.EQUITY, "stock": Kind.EQUITY}
    kind = kinds.get(row["kind"].strip().lower())
    if kind is None:
        raise InputError(f"{path}: {row['file']}: expected kind {', '.join(sorted(kinds))}; found {row['kind']!r}")
    return Listing(row["symbol"].strip(), kind, row["exchange"].strip(), (row.get("dataset") or "").strip())


def discover(paths: Sequence[Path], manifest: Path | None = None) -> Discovery:
    """The bar files under ``paths``, sorted within each folder.

    Without ``manifest``, an ``instruments.csv`` in the folder given or in one of the two above it is used. Where a manifest lists
    files of a folder, only those are taken from it; a file named by the user is always taken. InputError when nothing is there.
    """
    files: dict[Path, BarFile] = {}
    skipped: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: expected a bar file or a folder of them, found nothing there; check the path")
        root = path if path.is_dir() else path.parent
        listings = read_manifest(manifest) if manifest else _nearby(root)
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()) if path.is_dir() else [path]
        listed = [p for p in found if p.resolve() in listings]
        taken = set(listed) if listed and path.is_dir() else set(found)
        skipped += [p for p in found if p not in taken]
        files |= {p.resolve(): BarFile(p, listings.get(p.resolve())) for p in found if p in taken}
    if not files:
        raise InputError(f"{', '.join(map(str, paths))}: expected Parquet or CSV files, found none; check the path")
    return Discovery(tuple(files.values()), tuple(skipped))


def _nearby(root: Path) -> dict[Path, Listing]:
    """The nearest manifest that lists a file under ``root``; a file of that name with other columns is not one."""
    folder = root.resolve()
    for _ in range(MANIFEST_LEVELS):
        candidate = folder / MANIFEST_NAME
        if candidate.is_file():
            try:
                listings = read_manifest(candidate)
            except InputError:
                listings = {}
            if any(path.is_relative_to(root.resolve()) for path in listings):
                return listings
        folder = folder.parent
    return {}


def is_index_name(symbol: str) -> bool:
    """Whether a symbol is that of a known NSE or BSE index (not of its futures: NIFTY-I, NIFTY24JANFUT)."""
    name = symbol.upper().replace("_", " ")
    if name.endswith(("FUT", "-I", "-II", "-III")) or "BEES" in name:
        return False
    return name.startswith(INDEX_NAMES)
