-- As in 0009, with what this revision brings.
CREATE OR REPLACE FUNCTION grant_roles() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    home text := current_schema;
    whose text := current_user;  -- who owns what is made from now on
    role text;
    thing text;
    missing text[] := '{}';
    -- What is ours. Nothing else in this schema is touched: it may be shared with other programs.
    tables regclass[];
    views regclass[];
    routines regprocedure[];
BEGIN
    IF NOT (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'alembic_version'::regclass) THEN
        RAISE EXCEPTION 'the schema is another''s: expected its owner, found %', current_user USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT array_agg(c.oid::regclass) FILTER (WHERE c.relkind IN ('r', 'p')), array_agg(c.oid::regclass) FILTER (WHERE c.relkind = 'v')
    INTO tables, views FROM pg_class c
    WHERE c.relnamespace = home::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname IN (
        SELECT unnest(ARRAY[
            'alembic_version', 'alerts', 'bar_revisions', 'bar_superseded', 'bar_versions', 'broker_origin', 'candle_fetches', 'candle_gaps',
            'comparisons', 'corporate_actions', 'corporate_actions_readable', 'coverage_by_day', 'data_quality', 'events', 'feature_sets', 'features', 'gaps_readable', 'instrument_changes',
            'instrument_dumps', 'instrument_flags', 'instrument_former_symbols', 'instrument_history', 'instrument_listings',
            'instrument_tokens', 'instruments', 'kept_from', 'label_sets', 'labels', 'latest_bars', 'member_lists', 'model_scoreboard',
            'models', 'ohlcv_1min', 'ohlcv_5min', 'ohlcv_15min', 'ohlcv_60min', 'ohlcv_1min_adjusted', 'ohlcv_5min_adjusted',
            'ohlcv_15min_adjusted', 'ohlcv_60min_adjusted', 'price_limits', 'promotions', 'quarantine', 'rollup_pending', 'run_days', 'run_locks',
            'runs', 'runs_recent', 'sessions', 'signal_outcomes', 'signals', 'signals_readable', 'tick_rejects', 'todays_signals',
            'trials', 'universe_members'])
        UNION ALL SELECT 'features_' || id FROM feature_sets);
    SELECT array_agg(to_regprocedure(format('%I.%s', home, f))) INTO routines FROM unnest(ARRAY[
        'adjustments(date, timestamptz)', 'ohlcv_1min_as_of(date, timestamptz)',
        'rescaled(double precision, double precision, double precision, double precision, double precision, double precision,'
            ' double precision, double precision)',
        'chunks_to_compress(timestamptz)', 'create_feature_view(text)', 'drop_before(text, timestamptz)', 'drop_old(text, timestamptz)', 'retention_limit(text, integer, timestamptz)',
        'ensure_partitions(text, timestamptz, timestamptz)', 'feature_at(bytea, integer)', 'forget_bars(source, timestamptz, timestamptz)',
        'grant_roles()', 'kept_since(text)', 'lock_instruments(integer[])', 'make_rollups(integer[], timestamptz, timestamptz)',
        'newest_bars(integer)', 'note_rollups(integer[], timestamptz, timestamptz)', 'refresh_noted()',
        'refresh_rollups(integer[], timestamptz, timestamptz)', 'run_maintenance(integer, jsonb)',
        'store_bars(source, timestamptz, integer[], timestamptz[], double precision[], double precision[], double precision[],'
            ' double precision[], bigint[], integer[], smallint[])']) AS f
    WHERE to_regprocedure(format('%I.%s', home, f)) IS NOT NULL;

    FOREACH role IN ARRAY ARRAY['intraday_owner', 'intraday_writer', 'intraday_reader'] LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- roles are the server's: another database was faster
            WHEN insufficient_privilege THEN RETURN format('there is no role %s and %I may not make one: run `intraday db init` '
                'once with a DSN of a superuser, or of a role with CREATEROLE', role, current_user);
        END;
    END LOOP;

    BEGIN
        IF NOT pg_has_role('intraday_writer', 'pg_read_all_settings', 'MEMBER') THEN
            GRANT pg_read_all_settings TO intraday_owner, intraday_writer, intraday_reader;
        END IF;
    EXCEPTION
        WHEN unique_violation OR internal_error THEN NULL;  -- another database at the same moment
        WHEN insufficient_privilege THEN
            missing := missing || 'a superuser has to GRANT pg_read_all_settings TO intraday_owner, intraday_writer, intraday_reader'::text;
    END;

    BEGIN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO intraday_writer, intraday_reader', home);
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO intraday_owner', home);
        IF NOT pg_has_role(current_user, 'intraday_owner', CASE WHEN current_setting('server_version_num')::integer < 160000
                           THEN 'MEMBER' ELSE 'SET' END) THEN
            EXECUTE format('GRANT intraday_owner TO %I', current_user);
        END IF;
        FOR thing IN  -- partitions too; TimescaleDB looks after chunks itself, and after what is behind continuous aggregates
            SELECT format('%s %I.%I', CASE WHEN c.relkind = 'v' AND pg_get_viewdef(c.oid) LIKE '%\_timescaledb\_internal.%'
                                      THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, home, c.relname) FROM pg_class c
            WHERE c.relowner <> 'intraday_owner'::regrole AND c.relnamespace = home::regnamespace AND (c.oid = ANY (tables || views)
                OR c.relispartition AND EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = ANY (tables)))
            UNION ALL
            SELECT format('ROUTINE %s', p.oid::regprocedure) FROM pg_proc p
            WHERE p.oid = ANY (routines) AND p.proowner <> 'intraday_owner'::regrole
            UNION ALL
            SELECT format('TYPE %I.%I', home, t.typname) FROM pg_type t
            WHERE t.typnamespace = home::regnamespace AND t.typname = 'source' AND t.typtype = 'e' AND t.typowner <> 'intraday_owner'::regrole
        LOOP
            EXECUTE format('ALTER %s OWNER TO intraday_owner', thing);
        END LOOP;
        whose := 'intraday_owner';
    EXCEPTION
        WHEN insufficient_privilege THEN
            missing := missing || format('the tables stay with their owner, so that members of intraday_owner can''t migrate (%s)', SQLERRM);
    END;

    FOR thing, role IN  -- and the sequences of their columns
        SELECT format('%I.%I', home, c.relname), c.relname FROM pg_class c
        WHERE c.relnamespace = home::regnamespace AND pg_has_role(current_user, c.relowner, 'USAGE') AND (c.oid = ANY (tables || views)
            OR c.relkind = 'S' AND EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                           AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (tables)))
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO intraday_writer, intraday_reader', thing);
        CONTINUE WHEN NOT thing::regclass = ANY (tables) OR role IN ('alembic_version', 'kept_from');
        EXECUTE format('GRANT %s ON %s TO intraday_writer',  -- what happened stays written
                       CASE WHEN role IN ('events', 'promotions') THEN 'INSERT' WHEN role IN ('trials', 'comparisons') THEN 'INSERT, UPDATE'
                       ELSE 'INSERT, UPDATE, DELETE' END, thing);
    END LOOP;
    -- Optuna makes its tables there. Another program's schema of that name is its own.
    IF (SELECT pg_has_role(current_user, nspowner, 'USAGE') AND obj_description(oid, 'pg_namespace') LIKE '%(trials)%'
        FROM pg_namespace WHERE nspname = 'optuna') THEN
        GRANT USAGE, CREATE ON SCHEMA optuna TO intraday_owner, intraday_writer;
        GRANT USAGE ON SCHEMA optuna TO intraday_reader;
        IF whose = 'intraday_owner' AND has_database_privilege(current_database(), 'CREATE') THEN
            ALTER SCHEMA optuna OWNER TO intraday_owner;
        END IF;
    END IF;
    FOR thing, role IN  -- what runs with the owner's rights, and what makes timeframes, is for writers; upkeep is the owner's
        SELECT p.oid::regprocedure, CASE WHEN p.prosecdef OR p.proname IN ('refresh_rollups', 'make_rollups') THEN 'intraday_writer' END
        FROM pg_proc p WHERE p.oid = ANY (routines) AND pg_has_role(current_user, p.proowner, 'USAGE')
          AND (p.prosecdef OR p.proname IN ('refresh_rollups', 'make_rollups', 'drop_before', 'drop_old', 'refresh_noted', 'run_maintenance'))
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', thing);
        IF role IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', thing, role);
        END IF;
    END LOOP;
    IF whose = 'intraday_owner' THEN  -- partitions that come later; another owner's tables need not all be ours
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE intraday_owner IN SCHEMA %I GRANT SELECT ON TABLES TO intraday_writer, intraday_reader', home);
    END IF;
    RETURN nullif(array_to_string(missing, '; '), '');
END $$;
COMMENT ON FUNCTION grant_roles IS 'Make the roles intraday_owner, intraday_writer and intraday_reader and give them their rights in this schema, as far as the caller may; again changes nothing. Returns what is missing and why, NULL: nothing.';
