"""Simulated LLM providers: servers shaped after the real ones, on this machine, at no cost.

They serve ``awf demo`` and the tests.  What they answer is decided from the request alone, so that whoever asked can
compute every figure beforehand; what they served stands in a ledger that can be asked for (``GET /_sim/calls``).

Floors, downward::

    demo.py, __main__.py      the demonstration; the command line of the simulator
    service.py                listeners
    connection.py playback.py HTTP/1.1 on a Twisted Protocol: every byte on the wire is ours to choose
    wire.py encoders.py       pure: the bytes of an answer, where they are split, paced, cut, or lie
    site.py                   pure: which request gets which answer
    stored.py                 pure: answers that are kept: asked for again, finished later, cancelled
    chat.py responses.py ...  pure: the shapes of each API
    asking.py modes.py tokens.py story.py   pure: what is asked, how to misbehave, how tokens are counted
"""
