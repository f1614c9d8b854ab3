"""A class of 30 made by this project: what people hand in, so that the grader can be tried on a whole course folder.

Nobody's work is in it. Right answers are the solutions and the banks' other right ways; mistakes are those of the
exercises' banks, written out as cells; the rest (faulty files, hostile cells) is made here.
"""
