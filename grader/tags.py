"""The tag by which the builder of lessons tells the referee that no mark rests on a cell."""

NOT_FOR_MARKS = "not-for-marks"
