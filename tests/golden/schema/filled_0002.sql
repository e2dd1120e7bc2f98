-- What schema revision 0002 added, filled; after filled_0001.sql.
INSERT INTO instrument_listings VALUES (7, 'INFOSYS', 'NSE', 1594, NULL, 0, '2024-01-30', NULL);
INSERT INTO instrument_tokens VALUES (7, 408065, '2024-01-30', '2024-02-01'), (7, 408066, '2024-02-01', NULL);
INSERT INTO instrument_former_symbols VALUES ('NSE', 'INFOSYSTCH', 7, '2024-01-30');
INSERT INTO instrument_changes VALUES ('2024-02-01', 7, 'token_changed', '408065', '408066');
INSERT INTO instrument_dumps VALUES ('NSE', '2024-02-01', 9000, 3);
INSERT INTO member_lists VALUES ('universe', 'fno', '2024-01-30', 'nfo.csv'), ('flag', 'mis', '2024-01-30', 'mis.csv');
INSERT INTO universe_members VALUES ('fno', 7, '2024-01-30', NULL);
INSERT INTO instrument_flags VALUES (7, 'mis', '2024-01-30', NULL, '5', 'mis.csv');
INSERT INTO candle_fetches VALUES (7, '2024-01-31', '2024-01-31 10:00+00', 369, true, NULL, '2024-02-03 00:00+00');
INSERT INTO broker_origin (name, made_up, claimed_at) VALUES ('kite', false, '2024-02-03 00:00+00');
UPDATE run_days SET from_ts = '2024-02-01 05:00+00';
UPDATE instrument_history SET valid_from = '2024-01-31' WHERE version = 2;
