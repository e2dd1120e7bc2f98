"""Is a daily path of profit and loss more than luck? T counts sessions; nothing is annualised. See docs/significance.md."""
