"""FreqAI's own features and LightGBM trainer on bars in files; run by bench_retrain.py with a Python that has freqtrade.

Its exchange layer wants a network, so its strategy template, data kitchen and trainer are called directly, one model a pair, as it
does. Prints one JSON line: seconds, features, rows. Times are of the core.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path


def config_of(folder: Path, pairs: list[str], periods: list[int], shifts: int, rounds: int, leaves: int) -> dict[str, object]:
    return {
        "freqai": {
            "enabled": True,
            "identifier": "bench",
            "purge_old_models": 2,
            "train_period_days": 30,
            "backtest_period_days": 5,
            "save_backtest_models": False,
            "activate_tensorboard": False,
            "feature_parameters": {
                "include_timeframes": ["5m"],
                "include_corr_pairlist": [],
                "label_period_candles": 12,
                "include_shifted_candles": shifts,
                "indicator_periods_candles": periods,
                "weight_factor": 0,
                "DI_threshold": 0,
                "principal_component_analysis": False,
                "use_SVM_to_remove_outliers": False,
                "plot_feature_importances": 0,
                "shuffle_after_split": False,
                "buffer_train_data_candles": 0,
            },
            "data_split_parameters": {"test_size": 0.2, "shuffle": False},
            "model_training_parameters": {
                "n_estimators": rounds, "num_leaves": leaves, "learning_rate": 0.1, "n_jobs": int(os.environ["BENCH_THREADS"]),
                "min_child_samples": 200, "verbosity": -1,
            },
        },
        "exchange": {"pair_whitelist": pairs, "name": "binance"},
        "timeframe": "5m",
        "stake_currency": "INR",
        "user_data_dir": folder,
        "runmode": "backtest",
        "candle_type_def": "spot",
        "trading_mode": "spot",
        "dry_run": True,
    }  # fmt: skip


def main() -> None:
    source, periods, shifts, rounds, leaves = Path(sys.argv[1]), json.loads(sys.argv[2]), *map(int, sys.argv[3:6])
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import numpy as np
    import pandas as pd
    from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
    from freqtrade.freqai.prediction_models.LightGBMClassifier import LightGBMClassifier
    from freqtrade.templates.FreqaiExampleStrategy import FreqaiExampleStrategy

    class Strategy(FreqaiExampleStrategy):  # type: ignore[misc]
        def set_freqai_targets(self, dataframe, metadata, **kwargs):  # type: ignore[no-untyped-def]
            self.freqai.class_names = ["down", "up"]
            ahead = dataframe["close"].shift(-12)
            dataframe["&s-up_or_down"] = np.where(ahead > dataframe["close"], "up", "down")
            return dataframe

    files = sorted(source.glob("*.parquet"))
    pairs = [f"{f.stem}/INR" for f in files]
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(Path(folder), pairs, periods, shifts, rounds, leaves)
        model, strategy = LightGBMClassifier(config=config), Strategy(config=config)
        strategy.freqai, strategy.freqai_info = model, config["freqai"]
        frames = {pair: pd.read_parquet(f) for pair, f in zip(pairs, files, strict=True)}
        rows = n_features = 0
        wall, core = time.perf_counter(), time.process_time()
        for pair, frame in frames.items():
            kitchen = FreqaiDataKitchen(config, True, pair)
            model.dk = kitchen
            kitchen.set_paths(pair, int(frame["date"].iloc[-1].timestamp()))
            made = kitchen.use_strategy_to_populate_indicators(strategy, {}, {"5m": frame.copy()}, pair, frame.copy())
            kitchen.find_features(made)
            kitchen.find_labels(made)
            model.train(made, pair, kitchen)
            rows, n_features = rows + len(made), len(kitchen.training_features_list)
        found = {"wall": time.perf_counter() - wall, "core": time.process_time() - core, "rows": rows, "features": n_features}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
