-- A filled database of schema revision 0001, in its own words: three instruments over the end of a month.
INSERT INTO instruments (id, exchange, symbol, kind, tick_size, lot_size) OVERRIDING SYSTEM VALUE VALUES
    (7, 'NSE', 'INFY', 'equity', 5, 1), (41, 'NSE', 'RELIANCE', 'equity', 5, 1), (300, 'NSE', 'NIFTY 50', 'index', 5, 1);
INSERT INTO instrument_history (instrument_id, version, recorded_at, kind, tick_size, lot_size) VALUES
    (7, 1, '2024-01-30', 'equity', 10, 1), (7, 2, '2024-01-31', 'equity', 5, 1), (41, 1, '2024-01-30', 'equity', 5, 1),
    (300, 1, '2024-01-30', 'index', 5, 1);
INSERT INTO sessions (day, number, open_ts, close_ts, square_off_ts, kind)
    SELECT d, d - date '1970-01-01', d + time '03:45', d + time '10:00', d + time '09:50', 'regular'
    FROM unnest(ARRAY['2024-01-30', '2024-01-31', '2024-02-01']::date[]) AS d;
SELECT ensure_partitions(t, '2024-01-01 00:00+00', '2024-02-02 00:00+00') FROM unnest(ARRAY['ohlcv_1min', 'features', 'labels', 'signals']) AS t;

-- Three days of 375 minutes by import, one by the broker over it, some of that corrected, and live ticks that are second to both.
SELECT store_bars(say.source::source, say.known::timestamptz, array_agg(m.id), array_agg(m.ts), array_agg(m.price),
                  array_agg(m.price + 1.5), array_agg(m.price - 1.25), array_agg(m.price + 0.1),
                  array_agg(CASE WHEN m.id = 300 THEN NULL ELSE 100 + m.k % 50 END::bigint), array_agg(m.k % 9),
                  array_agg(CASE WHEN m.k % 97 = 0 THEN 2 ELSE 0 END::smallint))
FROM (VALUES (1, 'import', '2024-02-02 00:00+00', '{2024-01-30,2024-01-31,2024-02-01}'::date[], 1, 0.0::double precision),
             (2, 'broker', '2024-02-03 00:00+00', '{2024-01-31}', 1, 0.05),
             (3, 'broker', '2024-02-04 00:00+00', '{2024-01-31}', 10, 0.2),
             (4, 'tick', '2024-02-01 12:00+00', '{2024-02-01}', 3, 0.3)) AS say (n, source, known, days, every, shift)
CROSS JOIN LATERAL (
    SELECT i.id, d + time '03:45' + make_interval(mins => k) AS ts, k, 100 + i.id + (k * 7919 % 101) / 20.0 + say.shift AS price
    FROM instruments i, unnest(say.days) AS d, generate_series(0, 374) AS k WHERE k % say.every = 0 AND (k + i.id) % 61 <> 0
) m GROUP BY say.n, say.source, say.known;
SELECT refresh_rollups(ARRAY[7, 41, 300], '2024-01-30 00:00+00', '2024-02-02 00:00+00');
INSERT INTO candle_gaps VALUES (7, '2024-01-30 04:39+00', '2024-01-30 04:40+00', 'no candle', 1, NULL);
INSERT INTO quarantine VALUES ('\x01', 'INFY', 'a.csv:4', '2024-01-30 03:45+00', 'bad_ohlc', '{"open": 1}'),
    ('\x02', 'INFY', 'a.csv:9', NULL, 'no_time', '{}');

INSERT INTO feature_sets VALUES ('f5', 5, '{rsi,"odd \"name"}', '{"timeframe": 5, "features": []}');
CREATE VIEW features_f5 AS SELECT instrument_id, ts, source, feature_at(vector, 0) AS "rsi", feature_at(vector, 1) AS "odd ""name"
    FROM features WHERE feature_set_id = 'f5';
COMMENT ON VIEW features_f5 IS 'Named columns of feature set f5, 5 minute bars.';
INSERT INTO features SELECT id, d + time '03:45' + make_interval(mins => 5 * k), 'history', 'f5', decode('0000803f000000c0', 'hex')
    FROM instruments, unnest(ARRAY['2024-01-31', '2024-02-01']::date[]) AS d, generate_series(0, 74) AS k;
INSERT INTO label_sets VALUES ('tb1', '{"horizon": 60}');
INSERT INTO labels SELECT id, '2024-02-01 03:45+00'::timestamptz + make_interval(mins => 5 * k), '2024-02-01 03:51+00', '2024-02-01 04:51+00',
    k / 7.0, -k / 7.0, 0.01, k % 3 - 1, 1, 'tb1' FROM instruments, generate_series(0, 50) AS k;
INSERT INTO models (id, feature_set_id, label_set_id, path, verdict, trained_from, trained_to, manifest)
    VALUES ('m1', 'f5', 'tb1', 'models/m1', 'edge', '2024-01-30', '2024-01-31', '{}');
INSERT INTO signals SELECT id, '2024-02-01 03:45+00'::timestamptz + make_interval(mins => 5 * k), 'replay', false, 1706760000000000000 + k,
    1706760060000000000, 0.6, 0.2, 0.2, 0.6, 100.5, 99, 102, CASE k % 3 WHEN 0 THEN 'BUY' ELSE 'HOLD' END, 'm1', 'f5', 'r1'
    FROM instruments, generate_series(0, 20) AS k;
INSERT INTO runs (id, command, config, started_at, finished_at, status) VALUES
    ('r1', 'replay', '{}', '2024-02-02 00:00+00', '2024-02-02 00:05+00', 'ok');
INSERT INTO run_days (source, day, run_id, journal, feature_set_id, model_id, instrument_ids, timeframe)
    VALUES ('replay', '2024-02-01', 'r1', 'journal/r1', 'f5', 'm1', '{7,41,300}', 5);
INSERT INTO tick_rejects VALUES ('r1', 1706760000000000000, 0, '2024-02-01 03:45+00', 'late', 3);
INSERT INTO alerts VALUES ('\x03', 'r1', 'replay', 1706760000000000000, 'info', 'signal', 'BUY INFY');
INSERT INTO events (at, kind, detail) VALUES ('2024-02-02 00:00+00', 'import', '{"files": 3}');
