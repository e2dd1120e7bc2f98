"""Op codes of a feature plan. ``code >> 4`` is the group, so the interpreter needs two short chains instead of one long one."""

# group 0: inputs
OPEN, HIGH, LOW, CLOSE, VOLUME, MINUTE, MINUTES, START = range(0, 8)
# group 1: one operand, no state
LOG, SQRT, ABS, SIN, COS, AFFINE, CLIP = range(16, 23)
# group 2: two or three operands, no state
ADD, SUB, MUL, DIV, MAX, MIN, GREATER, WHERE = range(32, 40)
# group 3: recursive
PREV, LAG, EMA, EWVAR, HOLD = range(48, 53)
# group 4: windows
WINDOW, MEAN, STD, HIGHEST, LOWEST, RANK = range(64, 70)
# group 5: accumulators of the session
SESSION_FIRST, SESSION_SUM, SESSION_MAX, SESSION_MIN, SESSION_BEFORE, SLOT = range(80, 86)

LONGEST_SESSION = 480  # minutes of a session that SLOT keeps apart; the halt of 2021-02-24 ran for 465
