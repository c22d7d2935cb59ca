"""What docs/measured.md tells: `make bench`, on an idle machine; never part of the tests."""
