"""The laws that an audit checks on anybody's data: pure functions of bars, features and labels."""
