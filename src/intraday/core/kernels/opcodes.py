"""Op codes of a feature plan. ``code >> 4`` is the group, so the interpreter needs two short chains instead of one long one."""

LOWERED = -1  # a primitive of the language that ``core.lowering`` makes of others

# group 0: inputs
OPEN, HIGH, LOW, CLOSE, VOLUME, MINUTE, MINUTES, START, WEEKDAY, GRID_MINUTE, BUCKET, CARRIED = range(0, 12)
# group 1: one operand, no state
LOG, SQRT, ABS, SIN, COS, AFFINE, CLIP, EXP, SIGN, POWER = range(16, 26)
# group 2: two or three operands, no state
ADD, SUB, MUL, DIV, MAX, MIN, GREATER, WHERE, EQUAL, GIVEN, WHEN = range(32, 43)
# group 3: recursive
PREV, EMA, EWVAR, HOLD, RUNNING_SUM, BARS_SINCE, ADAPTIVE, BUCKET_FIELD = range(48, 56)
# group 4: windows that are read from end to end
WINDOW, HIGHEST, LOWEST, ARGMAX, ARGMIN, SKEW, KURT, SORTED, RANK, MEAN_RANK, QUANTILE = range(64, 75)
# group 5: accumulators of the session
SESSION_FIRST, SESSION_SUM, SESSION_MAX, SESSION_MIN, SESSION_BEFORE, SLOT, SLOT_STD = range(80, 87)
# group 6: windows in constant time
RING, DISPLACED, SUM_MEAN, SUM_TOTAL, SUM_STD, SUM_SLOPE, SUM_COV = range(96, 103)
# group 7: across the instruments of one decision bar
ACROSS_RANK, ACROSS_MEAN, ACROSS_STD, ACROSS_COUNT, OF_INDEX = range(112, 117)

LONGEST_SESSION = 480  # minutes of a session that SLOT keeps apart; the halt of 2021-02-24 ran for 465
LEAST_ACROSS = 5  # observations below which nothing is compared across instruments
