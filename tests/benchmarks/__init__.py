"""What README promises, measured: `make bench`, on an idle machine; never part of the tests."""
