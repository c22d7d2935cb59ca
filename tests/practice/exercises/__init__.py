"""The checks of the exercises: a module for each chapter, with answers that are none of ours.

Each has `RIGHT`, for each exercise an answer written in another way than the solution, and `WRONG`,
for each at least three that are not right; both as functions, for many call a service.
"""
