"""No lesson imports this."""
