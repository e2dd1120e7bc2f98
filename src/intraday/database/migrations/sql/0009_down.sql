DROP TABLE price_limits;
COMMENT ON COLUMN labels.barrier IS 'Which barriers were hit (domain.arrays.LABEL).';
