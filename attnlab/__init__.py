"""attnlab: learn attention by writing it.

Import what you need from the sub-packages; this file loads none of them.
"""

__version__ = "0.1.0"
