"""Training, artifacts and prediction.

LightGBM's threads wait for each other at the end of every step of every leaf. If they spin, as OpenMP lets them unless it is told
otherwise before it is loaded, they starve each other when anything else runs on the machine: *measured* with two threads on two
busy cores, 17 s instead of 0.8 s. Whoever sets OMP_WAIT_POLICY is left alone.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when the library is loaded
