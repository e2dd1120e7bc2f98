CREATE TABLE run_locks (
    what text PRIMARY KEY,
    number bigint NOT NULL,
    taken_at timestamptz NOT NULL
);
COMMENT ON TABLE run_locks IS 'Who may do what only one program at a time may do: each that begins gets the next number, and every transaction of it looks first whether that is still the newest.';
COMMENT ON COLUMN run_locks.what IS 'The command: live, replay.';
COMMENT ON COLUMN run_locks.number IS 'Of the one who may; whoever has a lower one is refused.';
COMMENT ON COLUMN run_locks.taken_at IS 'When it began.';
