from __future__ import annotations

import json
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from intraday.model.calibration import (
    METHODS,
    MIN_SESSIONS,
    Calibrator,
    Method,
    allowed,
    chosen,
    class_log_weights,
    fit_calibrator,
    fit_temperatures,
    log_prior_of,
    prior_shift,
    scaled,
    softmax,
    validation_losses,
)
from intraday.model.calibrators.logistic import fit_logistic, sigmoid
from intraday.model.calibrators.maps import CLIP, BetaMap, IsotonicMap, fit_beta, fit_isotonic

PRIOR = (float(np.log(0.3)), float(np.log(0.45)), float(np.log(0.25)))


def drawn(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels with these probabilities."""
    above = np.asarray(rng.random(len(p))[:, None] > p.cumsum(axis=1))
    return np.asarray(above.sum(axis=1) - 1, dtype=np.int8)


def past(n: int = 60_000, sessions: int = 30, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """True probabilities, labels drawn with them, session numbers."""
    rng = np.random.default_rng(seed)
    p = softmax(np.asarray(PRIOR) + 0.7 * rng.standard_normal((n, 3)))
    return p, drawn(p, rng), np.sort(rng.integers(0, sessions, n)).astype(np.int32), rng


def margin_of(p: np.ndarray) -> np.ndarray:
    out: np.ndarray = np.log(p) - np.asarray(PRIOR)
    return out


def loss(p: np.ndarray, label: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(label)), label.astype(int) + 1]).mean())


def fitted(method: Method) -> Calibrator:
    p, label, session, _ = past()
    return fit_calibrator(2.0 * margin_of(p), np.asarray(PRIOR), label, session, PRIOR, [method])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_stored_and_sees_rows_alone(method: Method) -> None:
    found = fitted(method)
    assert found.method is method
    raw = np.random.default_rng(3).standard_normal((3_000, 3)) * 4
    raw[:3] = [[500.0, 0.0, 0.0], [0.0, -500.0, 500.0], [0.0, 0.0, 0.0]]
    p = found.apply(raw)
    assert p.sum(axis=1) == pytest.approx(np.ones(len(raw)))
    again = Calibrator.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert again.apply(raw).tobytes() == p.tobytes()
    for size in (1, 2, 3, 5, 7, 64, 999):
        cut = np.concatenate([found.apply(raw[k : k + size]) for k in range(0, 999, size)])[:999]
        assert cut.tobytes() == p[:999].tobytes(), size


def test_the_distortion_decides_the_method() -> None:
    p, label, session, _ = past()
    wrong = {
        Method.IDENTITY: margin_of(p),
        Method.TEMPERATURES: margin_of(p) + 3.0 * (p[:, [2]] - p[:, [0]]) * [-1.0, 0.0, 1.0],
        Method.BETA: np.log(p) * [1.6, 0.5, 1.0] + [0.8, -0.3, 0.0] - np.asarray(PRIOR),
        Method.ISOTONIC: np.log(np.where(p < 0.35, 0.4 * p, p)) - np.asarray(PRIOR),
    }
    for method, margin in wrong.items():
        found = fit_calibrator(margin, np.asarray(PRIOR), label, session, PRIOR)
        usual = method in (Method.IDENTITY, Method.TEMPERATURES)  # where nothing is wrong nothing else is clearly better
        assert found.method is (Method.TEMPERATURES if usual else method)
        said = found.apply_margin(margin)
        assert loss(said, label) < loss(p, label) + 0.006
        assert np.abs(said.mean(axis=0) - p.mean(axis=0)).max() < 0.015  # normalising costs a little


def test_the_choice_is_made_on_later_sessions_from_earlier_ones_alone() -> None:
    p, label, session, _ = past(sessions=12)
    margin = margin_of(p)
    later = session >= 8
    assert np.unique(session[later]).size == 4
    losses = validation_losses(margin, np.asarray(PRIOR)[None, :].repeat(len(p), 0), label, session)
    assert list(losses) == list(METHODS)
    by_session = [loss(p[session == k], label[session == k]) for k in range(8, 12)]
    assert losses[Method.IDENTITY] == pytest.approx(by_session)
    turned = np.where(later, -label, label).astype(np.int8)  # what is known of earlier sessions is the same
    other = validation_losses(margin, np.asarray(PRIOR)[None, :].repeat(len(p), 0), turned, session)
    for method in METHODS:
        refit = fit_calibrator(margin[~later], np.asarray(PRIOR), label[~later], session[~later], PRIOR, [method])
        said = refit.apply_margin(margin)
        assert other[method] == pytest.approx([loss(said[session == k], turned[session == k]) for k in range(8, 12)])


def test_a_method_with_too_few_rows_is_not_tried() -> None:
    p, label, session, _ = past(n=1_500)
    simple = {Method.IDENTITY, Method.TEMPERATURE, Method.TEMPERATURES}
    assert set(validation_losses(margin_of(p), np.log(p), label, session)) == simple
    p, label, session, _ = past(n=10_000)
    assert Method.ISOTONIC not in validation_losses(margin_of(p), np.log(p), label, session)
    assert not allowed(Method.ISOTONIC, np.repeat(np.array([-1, 0], np.int8), 20_000))  # no row of one class
    assert fit_calibrator(margin_of(p), np.asarray(PRIOR), label, session, PRIOR, [Method.ISOTONIC]).method is Method.IDENTITY


def test_few_sessions_or_none_compare_nothing() -> None:
    p, label, session, _ = past(sessions=MIN_SESSIONS - 1)
    assert validation_losses(margin_of(p), np.log(p), label, session) == {}
    found = fit_calibrator(2.0 * margin_of(p), np.asarray(PRIOR), label, session, PRIOR)
    assert found.method is Method.TEMPERATURES
    assert (found.temperature, found.direction) == pytest.approx((2.0, 2.0), rel=0.05)
    none = fit_calibrator(margin_of(p)[:0], np.asarray(PRIOR), label[:0], session[:0], PRIOR)
    assert none == Calibrator(1.0, PRIOR, Method.TEMPERATURES, None, 1.0)
    assert fit_calibrator(margin_of(p), np.asarray(PRIOR), label, session, PRIOR, [Method.BETA]).method is Method.BETA


def test_another_method_has_to_be_clearly_better_than_the_usual_one() -> None:
    usual = np.array([1.0, 1.1, 0.9, 1.0])
    wobble = np.array([0.1, -0.12, 0.1, -0.1])
    assert chosen({Method.TEMPERATURES: usual, Method.BETA: usual + wobble}, METHODS) is Method.TEMPERATURES
    assert chosen({Method.TEMPERATURES: usual, Method.BETA: usual - 0.1 + wobble / 10}, METHODS) is Method.BETA
    assert chosen({Method.IDENTITY: usual, Method.BETA: usual + wobble}, [Method.IDENTITY, Method.BETA]) is Method.IDENTITY
    assert chosen({}, [Method.TEMPERATURE, Method.BETA]) is Method.TEMPERATURE
    assert chosen({}, [Method.BETA, Method.IDENTITY]) is Method.BETA


def test_what_was_fitted_applies_under_another_windows_prior() -> None:
    p, label, session, _ = past()
    other = log_prior_of(np.array([1] * 50 + [0] * 30 + [-1] * 20, np.int8))
    for method in METHODS:
        found = fit_calibrator(margin_of(p), np.asarray(PRIOR), label, session, other, [method])
        assert found.log_prior == other
        assert found.apply(np.asarray(other)[None, :])[0] == pytest.approx(np.exp(other), abs=0.03)


def test_size_and_direction_have_temperatures_of_their_own() -> None:
    p, label, _, rng = past()
    margin = margin_of(p)
    lean = (margin[:, 2] - margin[:, 0]) / 2.0
    size = margin - lean[:, None] * [-1.0, 0.0, 1.0]
    wrong = 1.5 * size + 4.0 * lean[:, None] * [-1.0, 0.0, 1.0]
    assert fit_temperatures(wrong, np.asarray(PRIOR), label) == pytest.approx((1.5, 4.0), rel=0.06)
    noise = 1.5 * size + rng.standard_normal(len(p))[:, None] * [-1.0, 0.0, 1.0]  # a direction that is none
    t, d = fit_temperatures(noise, np.asarray(PRIOR), label)
    assert d > 10.0 > 2.0 > t
    assert fit_temperatures(margin[:0], np.asarray(PRIOR), label[:0]) == (1.0, 1.0)
    assert scaled(margin, np.asarray(PRIOR), 1.7, 1.7) == pytest.approx(scaled(margin, np.asarray(PRIOR), 1.7))


def test_isotonic_never_says_never() -> None:
    q = np.linspace(0.0, 1.0, 5_000)
    found = fit_isotonic(q, (q > 0.5).astype(np.float64))
    assert (min(found.y), max(found.y)) == (CLIP, 1.0 - CLIP)
    assert found.apply(np.array([-1.0, 0.2, 0.9, 2.0])).tolist() == [CLIP, CLIP, 1.0 - CLIP, 1.0 - CLIP]


def test_isotonic_is_pool_adjacent_violators() -> None:
    found = fit_isotonic(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.0, 1.0, 0.0, 0.0, 1.0]))
    assert found.apply(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx([CLIP, 1 / 3, 1 / 3, 1 / 3, 1.0 - CLIP])


def test_beta_is_the_regression_of_its_paper() -> None:
    p, label, _, _ = past(n=8_000)
    q, hit = p[:, 2] ** 1.3, (label == 1).astype(np.float64)
    found = fit_beta(q, hit)
    columns = np.column_stack([np.log(q), -np.log(1.0 - q)])
    other = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000).fit(columns, hit)
    assert [found.a, found.b, found.c] == pytest.approx([*other.coef_[0].tolist(), float(other.intercept_[0])], abs=2e-3)
    assert BetaMap(1.0, 1.0, 0.0).apply(q) == pytest.approx(q)


def test_beta_never_turns_the_order_round() -> None:
    rng = np.random.default_rng(5)
    q = rng.uniform(0.05, 0.95, 4_000)
    found = fit_beta(q, (rng.random(4_000) < 1.0 - q).astype(np.float64))
    assert (found.a, found.b) == (0.0, 0.0)
    assert found.apply(q) == pytest.approx(np.full(4_000, 0.5), abs=0.03)
    bent = fit_beta(q, (rng.random(4_000) < np.minimum(0.9, 2.0 * q**3)).astype(np.float64))
    assert min(bent.a, bent.b) >= 0.0


def test_logistic_regression_survives_what_has_no_answer() -> None:
    assert fit_logistic(np.empty((0, 2)), np.empty(0)).tolist() == [0.0, 0.0]
    ones = np.ones((50, 2))  # two equal columns
    w = fit_logistic(ones, np.arange(50) % 4 == 0)
    assert sigmoid(np.array([w.sum()]))[0] == pytest.approx(13 / 50)
    apart = np.column_stack([np.linspace(-1, 1, 50), np.ones(50)])
    assert np.isfinite(fit_logistic(apart, (apart[:, 0] > 0).astype(np.float64))).all()


@pytest.mark.parametrize(
    "spoiled",
    [
        {"method": "platt"},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"direction": -1.0},
        {"log_prior": [0.0, 0.0]},
        {"maps": [{"x": [0.1, 0.2], "y": [0.5, 0.4]}] * 3},
        {"maps": [{"x": [0.1, 0.2], "y": [0.0, 0.4]}] * 3},
        {"maps": [{"x": [0.1], "y": [0.2, 0.4]}] * 3},
        {"maps": [{"a": -1.0, "b": 1.0, "c": 0.0}] * 3},
        {"maps": [{"a": 1.0, "b": 1.0, "c": 0.0}]},
    ],
)
def test_what_no_calibrator_says_is_refused(spoiled: dict[str, object]) -> None:
    told = Calibrator(1.0, PRIOR).to_dict() | spoiled
    with pytest.raises((KeyError, TypeError, ValueError)):
        Calibrator.from_dict(told)


def test_a_weighted_model_is_corrected_to_what_an_unweighted_one_says() -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((40_000, 3))
    truth = softmax(np.column_stack([0.6 * x[:, 0] - 1.0, np.full(len(x), 1.0), 0.6 * x[:, 1] - 1.4]))
    label = drawn(truth, rng)
    fit, test = slice(0, 30_000), slice(30_000, None)
    balanced = 1.0 / np.bincount(label[fit].astype(int) + 1)[label[fit].astype(int) + 1]

    def scores(weight: np.ndarray | None) -> np.ndarray:
        spec = {
            "objective": "multiclass",
            "num_class": 3,
            "num_leaves": 8,
            "verbosity": -1,
            "num_threads": 1,
            "min_data_in_leaf": 200,
        }
        rows = lgb.Dataset(x[fit], label=label[fit] + 1, weight=None if weight is None else weight * len(weight) / weight.sum())
        return np.asarray(lgb.train(spec, rows, num_boost_round=40).predict(x[test], raw_score=True))

    plain, weighted = softmax(scores(None)), scores(balanced)
    mended = softmax(prior_shift(weighted, class_log_weights(label[fit], balanced)))
    assert np.abs(softmax(weighted).mean(axis=0) - truth[test].mean(axis=0)).max() > 0.15  # uncorrected it would tell tales
    assert mended.mean(axis=0) == pytest.approx(truth[test].mean(axis=0), abs=0.012)
    assert loss(mended, label[test]) == pytest.approx(loss(plain, label[test]), abs=0.005)


def test_class_weights_are_measured_from_row_weights() -> None:
    label = np.array([-1, -1, 0, 1], np.int8)
    found = np.exp(class_log_weights(label, np.array([1.0, 3.0, 1.0, 3.0])))
    assert found == pytest.approx([1.0, 0.5, 1.5])
    assert class_log_weights(label, None) == (0.0, 0.0, 0.0)
    assert class_log_weights(label[:3], np.ones(3)) == (0.0, 0.0, 0.0)


def test_knots_are_kept_as_they_are() -> None:
    one = IsotonicMap((0.1, 0.3), (0.2, 0.4))
    assert one.apply(np.array([0.2])) == pytest.approx([0.3])
    kept = replace(Calibrator(1.0, PRIOR), method=Method.ISOTONIC, maps=(one, one, one))
    assert Calibrator.from_dict(kept.to_dict()) == kept
