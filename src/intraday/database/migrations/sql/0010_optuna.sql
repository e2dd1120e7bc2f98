-- Where Optuna keeps its studies, in tables it makes and changes by itself. A role that may not make schemas goes without.
DO $$
DECLARE
    whose text := current_user;
BEGIN
    IF to_regnamespace('optuna') IS NOT NULL THEN RETURN; END IF;
    BEGIN
        CREATE SCHEMA optuna;
    EXCEPTION WHEN insufficient_privilege THEN
        EXECUTE format('SET LOCAL ROLE %I', session_user);  -- who owns the database need not own the tables
        BEGIN
            EXECUTE format('CREATE SCHEMA optuna AUTHORIZATION %I', whose);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'no schema optuna: % may not make one in this database', session_user;
        END;
        EXECUTE format('SET LOCAL ROLE %I', whose);
    END;
    IF to_regnamespace('optuna') IS NOT NULL THEN
        COMMENT ON SCHEMA optuna IS 'Studies of the tuning, in Optuna''s own tables: safe to drop, the ledger (trials) keeps what was tried.';
    END IF;
END $$;
