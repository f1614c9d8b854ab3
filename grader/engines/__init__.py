"""Engines: where submissions are marked. On this machine (`local.py`), or on many (`cluster.py`, an extra).

An engine has four methods, so that the supervisor need not know which it is:

    room() -> int            how many more submissions it takes now
    submit(task)             mark one
    wait(seconds) -> [Done]  what has been marked, or what its worker died of; waits a little for the first
    close()                  end everything that it has started
"""
