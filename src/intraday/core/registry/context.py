"""Against the market index at the same bar. NaN without an index, or where it has no bar now: nothing is carried forward."""

from __future__ import annotations

from intraday.core.expression import Expr, at_start, beta, close, corr, log, of_index, open_, prev, ratio, sqrt, std, where
from intraday.core.feature import Feature
from intraday.core.registry.parts import intraday_return, log_return, session_open, sigma

FAMILY = "context"
N = 60
MISSING = "no market index, or it has no bar now"
FLAT = "no market index, it has no bar now, or one of the two did not move in the window"
NOTHING_LEFT = 1e-12  # of the variance, but for rounding: the index beside itself
SHARPE = "Sharpe (1963), market model"


def features() -> list[Feature]:
    """Family ``context``."""
    return [*_index(), *_together(), *_relative()]


def _session_return() -> Expr:
    return log(ratio(close(), session_open()))


def _index() -> list[Feature]:
    return [
        Feature("idx_ret_1", FAMILY, of_index(log_return(1)), "ret_1 of the market index", "log return", "definition", MISSING),
        Feature("idx_ret_12", FAMILY, of_index(log_return(12)), "ret_12 of the market index", "log return", "definition", MISSING),
        Feature("idx_ret_session", FAMILY, of_index(_session_return()), "ret_session of the market index", "log return",
                "definition", MISSING),
        Feature("idx_sigma", FAMILY, of_index(sigma()), "sigma of the market index", "log return a bar", "definition", MISSING),
    ]  # fmt: skip


def _together() -> list[Feature]:
    r, index = intraday_return(), _index_return()
    rho = corr(r, index, N)
    share = -(rho * rho) + 1.0
    rest = where(share - NOTHING_LEFT, sqrt(share), share * 0.0) * std(r, N)
    return [
        Feature("beta_60", FAMILY, beta(r, index, N), "cov / var of the index, intraday returns over the instrument's last 60 bars",
                "ratio", SHARPE, FLAT),
        Feature("corr_idx_60", FAMILY, rho, "correlation with the index, intraday returns over the instrument's last 60 bars",
                "-1 .. 1", SHARPE, FLAT),
        Feature("idio_vol_60", FAMILY, rest, "sqrt(1 - corr_idx_60^2) x population sd60 of intraday returns", "log return a bar",
                SHARPE, FLAT),
    ]  # fmt: skip


def _index_return() -> Expr:
    """The index's return over the instrument's own bar: since the bar the instrument had before, however long ago that was."""
    now = of_index(close())
    return log(ratio(now, at_start(of_index(open_()), prev(now))))


def _relative() -> list[Feature]:
    ret, session = log_return(12), _session_return()
    own_beta = beta(intraday_return(), _index_return(), N)
    return [
        Feature("rel_ret_12", FAMILY, ret - of_index(ret), "ret_12 - ret_12 of the market index, each over its own bars",
                "log return", "relative strength, Levy (1967)", MISSING),
        Feature("rel_ret_session", FAMILY, session - of_index(session), "ret_session - ret_session of the market index",
                "log return", "relative strength, Levy (1967)", MISSING),
        Feature("idio_ret_12", FAMILY, ret - own_beta * of_index(ret), "ret_12 - beta_60 x ret_12 of the market index",
                "log return", SHARPE, FLAT),
    ]  # fmt: skip
