"""Public reports, clients and files of people who do this job, a small test for each.

A test's name begins with the report's number, and its docstring with where it was found:
`serving 1276` is issue or pull request 1276 of tensorflow/serving. What is sent and expected is
our own; the right value is the one of TensorFlow Serving 2.18 to 2.21. The next report goes here,
under the next number. What is not so yet, or is left alone, is marked `xfail`, with the reason;
the number in docs/practice-services.md counts the others.
"""
