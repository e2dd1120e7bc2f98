from __future__ import annotations

import pytest

from intraday.database.stores import Stores
from intraday.domain.errors import ConfigError

pytestmark = pytest.mark.integration


def test_a_database_is_filled_from_one_broker_only(database):
    origin = Stores(database).origin
    origin.claim("the bundled exchange", 10**18)
    origin.claim("the bundled exchange", 2 * 10**18)
    with pytest.raises(ConfigError, match=r"holds the candles of the bundled exchange, expected those of api\.kite\.trade"):
        origin.claim("api.kite.trade", 3 * 10**18)
