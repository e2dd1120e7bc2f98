CREATE VIEW todays_signals AS
    SELECT s.ts + make_interval(mins => f.timeframe) AS bar_closed, to_timestamp(s.decided_ns / 1e9) AS decided, i.exchange, i.symbol,
           s.action, s.confidence, s.price, s.stop, s.target, to_timestamp(s.valid_until_ns / 1e9) AS valid_until, s.observe, s.source,
           s.model_id
    FROM signals s JOIN instruments i ON i.id = s.instrument_id LEFT JOIN feature_sets f ON f.id = s.feature_set_id
    WHERE s.ts >= date_trunc('day', now(), 'Asia/Kolkata') AND s.ts < date_trunc('day', now(), 'Asia/Kolkata') + interval '1 day';
COMMENT ON VIEW todays_signals IS 'Signals of decision bars that opened today, by the Indian clock; columns as signals_readable.';

CREATE FUNCTION newest_bars(p_days integer DEFAULT 10) RETURNS SETOF ohlcv_1min
LANGUAGE plpgsql STABLE AS $$
DECLARE
    since timestamptz := date_trunc('day', now(), 'UTC') - interval '7 days';
    until timestamptz := 'infinity';
    newest timestamptz;
BEGIN
    -- Literal bounds: the planner leaves out all other partitions or chunks, which a query without them opens one by one.
    LOOP
        EXECUTE format('SELECT max(b.ts) FROM instruments i CROSS JOIN LATERAL
                            (SELECT ts FROM ohlcv_1min WHERE instrument_id = i.id AND ts >= %L AND ts < %L ORDER BY ts DESC LIMIT 1) b',
                       since, until) INTO newest;
        EXIT WHEN newest IS NOT NULL;
        IF since < '1990-01-01' THEN RETURN; END IF;
        until := since;
        since := since - interval '28 days';
    END LOOP;
    RETURN QUERY EXECUTE format(
        'SELECT b.* FROM instruments i CROSS JOIN LATERAL
             (SELECT * FROM ohlcv_1min WHERE instrument_id = i.id AND ts >= %L AND ts <= %L ORDER BY ts DESC LIMIT 1) b',
        newest - make_interval(days => p_days), newest);
END $$;
COMMENT ON FUNCTION newest_bars IS 'The newest one-minute bar of every instrument that has one within p_days days of the newest of all.';

CREATE VIEW latest_bars AS
    SELECT i.exchange, i.symbol, b.ts, b.open, b.high, b.low, b.close, b.volume, b.source, b.known_at, b.flags, b.instrument_id
    FROM newest_bars() b JOIN instruments i ON i.id = b.instrument_id;
COMMENT ON VIEW latest_bars IS 'The newest bar of every instrument, if it is not more than ten days older than the newest of all.';

CREATE VIEW coverage_by_day AS
    WITH held AS (
        SELECT instrument_id, (ts AT TIME ZONE 'Asia/Kolkata')::date AS day, sum(n_minutes)::integer AS bars FROM ohlcv_60min GROUP BY 1, 2
    ), lives AS (
        SELECT instrument_id, min(day) AS first, max(day) AS last FROM held GROUP BY 1
    ), wanted AS (
        SELECT l.instrument_id, s.day,
               -- The closing auction takes the last minutes of its stocks since 2026-08-03 (domain.session.AUCTION_FROM).
               (extract(epoch FROM CASE WHEN f.flag IS NULL OR s.day < '2026-08-03' OR s.kind = 'muhurat' THEN s.close_ts
                    ELSE least(s.close_ts, (s.day + time '15:15') AT TIME ZONE 'Asia/Kolkata') END - s.open_ts) / 60
                - coalesce((SELECT sum((p ->> 1)::bigint - (p ->> 0)::bigint) / 60000000000 FROM jsonb_array_elements(s.pauses) p), 0)
               )::integer AS expected
        FROM lives l JOIN sessions s ON s.day BETWEEN l.first AND l.last
        CROSS JOIN (SELECT min(day) AS first FROM member_lists WHERE kind = 'flag' AND name = 'closing_auction') list
        LEFT JOIN instrument_flags f ON f.flag = 'closing_auction' AND f.instrument_id = l.instrument_id
            AND f.valid_from <= greatest(s.day, list.first) AND (f.valid_to IS NULL OR f.valid_to > greatest(s.day, list.first))
    )
    SELECT i.exchange, i.symbol, day, coalesce(h.bars, 0) AS bars, w.expected,
           CASE WHEN w.expected IS NOT NULL THEN greatest(w.expected - coalesce(h.bars, 0), 0) END AS missing, instrument_id
    FROM wanted w FULL JOIN held h USING (instrument_id, day) JOIN instruments i ON i.id = instrument_id;
COMMENT ON VIEW coverage_by_day IS 'Bars by instrument and day, from its first day with bars to its last: how many there are, how many a full session has. Counted in ohlcv_60min, so behind the minutes by what rollup_pending says.';

CREATE VIEW data_quality AS  -- the symbol is in every part before it is grouped, so that a question for one reads only its rows
    SELECT i.exchange, i.symbol, (g.start_ts AT TIME ZONE 'Asia/Kolkata')::date AS day, 'gap' AS what, g.reason, sum(g.n_minutes) AS n,
           i.id AS instrument_id
    FROM candle_gaps g JOIN instruments i ON i.id = g.instrument_id GROUP BY i.id, 3, 5
    UNION ALL
    SELECT i.exchange, i.symbol, (b.ts AT TIME ZONE 'Asia/Kolkata')::date, 'superseded', b.source::text, count(*), i.id
    FROM bar_superseded b JOIN instruments i ON i.id = b.instrument_id GROUP BY i.id, 3, 5
    UNION ALL
    -- The hours say where to look: flags are rare.
    SELECT i.exchange, i.symbol, (h.ts AT TIME ZONE 'Asia/Kolkata')::date, f.what, b.source::text, count(*), i.id
    FROM ohlcv_60min h JOIN instruments i ON i.id = h.instrument_id
    JOIN ohlcv_1min b ON b.instrument_id = h.instrument_id AND b.ts >= h.ts AND b.ts < h.ts + interval '1 hour'
    JOIN (VALUES (1::smallint, 'partial'), (2::smallint, 'late')) AS f (bit, what) ON b.flags & f.bit <> 0
    WHERE h.flags <> 0 AND b.flags <> 0 GROUP BY i.id, 3, 4, 5
    UNION ALL
    SELECT NULL, symbol, (ts AT TIME ZONE 'Asia/Kolkata')::date, 'quarantined', reason, count(*), NULL FROM quarantine GROUP BY 2, 3, 5;
COMMENT ON VIEW data_quality IS 'What is not as it should be, by instrument and day: gaps, versions that were superseded, late and partial bars, rows that were refused.';

CREATE VIEW model_scoreboard AS
    SELECT m.id AS model_id, m.created_at, m.verdict, m.trained_from, m.trained_to, s.source, coalesce(s.signals, 0) AS signals,
           coalesce(s.trades, 0) AS trades, s.first_ts, s.last_ts, coalesce(o.outcomes, 0) AS outcomes, o.hit_rate, o.mean_ret_net, m.seq
    FROM models m
    LEFT JOIN (SELECT model_id, source, count(*) AS signals, count(*) FILTER (WHERE action <> 'HOLD') AS trades, min(ts) AS first_ts,
                      max(ts) AS last_ts FROM signals GROUP BY 1, 2) s ON s.model_id = m.id
    LEFT JOIN (SELECT model_id, source, count(*) AS outcomes, avg((ret_net > 0)::integer)::double precision AS hit_rate,
                      avg(ret_net) AS mean_ret_net FROM signal_outcomes WHERE ret_net IS NOT NULL GROUP BY 1, 2) o
        ON o.model_id = m.id AND o.source = s.source;
COMMENT ON VIEW model_scoreboard IS 'Every model with what it decided and what became of that, by source of its bars.';

CREATE VIEW runs_recent AS
    SELECT r.id, r.command, r.status, r.started_at, r.finished_at, r.finished_at - r.started_at AS took, r.summary ->> 'error' AS error,
           (SELECT array_agg(d.day ORDER BY d.day) FROM run_days d WHERE d.run_id = r.id) AS days
    FROM runs r ORDER BY r.started_at DESC, r.id LIMIT 50;
COMMENT ON VIEW runs_recent IS 'The fifty newest runs, the newest first.';

CREATE VIEW gaps_readable AS
    SELECT i.exchange, i.symbol, (g.start_ts AT TIME ZONE 'Asia/Kolkata')::date AS day, g.start_ts, g.end_ts, g.n_minutes, g.reason, g.tried,
           g.instrument_id
    FROM candle_gaps g JOIN instruments i ON i.id = g.instrument_id;
COMMENT ON VIEW gaps_readable IS 'Gaps with symbols and days, for people.';
