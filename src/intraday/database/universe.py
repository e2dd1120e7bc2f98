"""Where universes are kept: the database's dated lists, or a file that the configuration names."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from intraday.database.instruments import InstrumentRepository
from intraday.database.listings import ListingRepository
from intraday.database.membership import MembershipRepository
from intraday.database.pool import Database
from intraday.domain.errors import InputError
from intraday.domain.membership import list_name, read_list
from intraday.domain.universe import Universe, everyone, in_file, key_of, listed_under, named


class UniverseRepository:
    """Resolves ``trading.universe``."""

    def __init__(self, database: Database) -> None:
        self._instruments = InstrumentRepository(database)
        self._listings = ListingRepository(database)
        self._members = MembershipRepository(database)

    def resolve(self, universe: str | tuple[str, ...], exchange: str, today: date) -> Universe:
        """``exchange``: of symbols given without one. Undated symbols are those of ``today``.

        ConfigError for symbols or lists that are not there, InputError for a file that cannot be read.
        """
        if universe == "all":
            return everyone(self._listings.with_bars(), self._listings.listed_ids(exchange))
        name = list_name(universe)
        if name is not None:
            return listed_under(name, self._members.spans("universe", name), self._members.known_from("universe", name))
        symbols = self._listings.symbols()
        if isinstance(universe, str):
            path = universe.removeprefix("csv:")
            return in_file(path, read_list(read_text(Path(path)), path), exchange, symbols, today)
        return named([key_of(symbol, exchange) for symbol in universe], self._instruments.all(), symbols, today)


def read_text(path: Path) -> str:
    """A text file. Raises InputError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a readable text file ({type(error).__name__}: {error})") from None
