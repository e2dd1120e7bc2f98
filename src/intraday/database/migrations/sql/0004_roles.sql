-- ----------------------------------------------------- what a writer needs beyond rows, done with the owner's rights
CREATE FUNCTION create_feature_view(p_set text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    feature_set feature_sets;
    view text := format('%I', 'features_' || p_set);
    columns text;
    at integer;
    about text;
BEGIN
    SELECT * INTO STRICT feature_set FROM feature_sets WHERE id = p_set;
    SELECT string_agg(format(', feature_at(vector, %s) AS %I', k - 1, name), '' ORDER BY k) INTO columns
        FROM unnest(feature_set.names) WITH ORDINALITY AS n (name, k);
    EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT instrument_id, ts, source%s FROM features WHERE feature_set_id = %L',
                   view, columns, p_set);
    EXECUTE format('COMMENT ON VIEW %s IS %L', view,
                   format('Named columns of feature set %s, %s minute bars.', p_set, feature_set.timeframe));
    EXECUTE format('COMMENT ON COLUMN %s.instrument_id IS %L', view, 'instruments.id.');
    EXECUTE format('COMMENT ON COLUMN %s.ts IS %L', view, 'Open time of the decision bar.');
    EXECUTE format('COMMENT ON COLUMN %s.source IS %L', view, 'Who made the bars.');
    FOR at, about IN
        SELECT n.k, format('%s: %s (%s)', d.x ->> 'family', d.x ->> 'formula', d.x ->> 'units')
        FROM unnest(feature_set.names) WITH ORDINALITY AS n (name, k)
        LEFT JOIN json_array_elements(CASE json_typeof(feature_set.definition -> 'features') WHEN 'array'
                                      THEN feature_set.definition -> 'features' ELSE '[]' END) AS d (x) ON d.x ->> 'name' = n.name
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', view, feature_set.names[at],
                       CASE about WHEN ':  ()' THEN format('Number %s of the vector.', at) ELSE about END);
    END LOOP;
END $$;
COMMENT ON FUNCTION create_feature_view IS 'Make or renew the view features_<set> of a stored feature set.';
SELECT create_feature_view(id) FROM feature_sets;

DO $$
DECLARE
    name text;
BEGIN
    -- A fixed path: nobody slips a table of his own under a function that runs with the owner's rights.
    FOREACH name IN ARRAY ARRAY['ensure_partitions(text, timestamptz, timestamptz)', 'create_feature_view(text)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', name, current_schema);
    END LOOP;
END $$;

CREATE FUNCTION grant_roles() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    home text := current_schema;
    whose text := current_user;  -- who owns what is made from now on
    role text;
    thing text;
    missing text[] := '{}';
BEGIN
    IF NOT (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'alembic_version'::regclass) THEN
        RAISE EXCEPTION 'the schema is another''s: expected its owner, found %', current_user USING ERRCODE = 'insufficient_privilege';
    END IF;
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
            WHERE c.relnamespace = home::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relowner <> 'intraday_owner'::regrole
              AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            UNION ALL
            SELECT format('ROUTINE %s', p.oid::regprocedure) FROM pg_proc p
            WHERE p.pronamespace = home::regnamespace AND p.proowner <> 'intraday_owner'::regrole
              AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
            UNION ALL
            SELECT format('TYPE %I.%I', home, t.typname) FROM pg_type t
            WHERE t.typnamespace = home::regnamespace AND t.typtype = 'e' AND t.typowner <> 'intraday_owner'::regrole
        LOOP
            EXECUTE format('ALTER %s OWNER TO intraday_owner', thing);
        END LOOP;
        whose := 'intraday_owner';
    EXCEPTION
        WHEN insufficient_privilege THEN
            missing := missing || format('the tables stay with their owner, so that members of intraday_owner can''t migrate (%s)', SQLERRM);
    END;

    FOR thing, role IN
        SELECT format('%I.%I', home, c.relname), c.relkind FROM pg_class c
        WHERE c.relnamespace = home::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') AND NOT c.relispartition
          AND pg_has_role(current_user, c.relowner, 'USAGE')
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO intraday_writer, intraday_reader', thing);
        IF role IN ('r', 'p') AND thing <> format('%I.alembic_version', home) THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %s TO intraday_writer', thing);
        END IF;
    END LOOP;
    FOR thing IN  -- what runs with the owner's rights is for writers only
        SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = home::regnamespace AND p.prosecdef
          AND pg_has_role(current_user, p.proowner, 'USAGE')
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', thing);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO intraday_writer', thing);
    END LOOP;
    -- Tables and views that come later.
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO intraday_writer, intraday_reader', whose, home);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT INSERT, UPDATE, DELETE ON TABLES TO intraday_writer', whose, home);
    RETURN nullif(array_to_string(missing, '; '), '');
END $$;
COMMENT ON FUNCTION grant_roles IS 'Make the roles intraday_owner, intraday_writer and intraday_reader and give them their rights in this schema, as far as the caller may; again changes nothing. Returns what is missing and why, NULL: nothing.';
