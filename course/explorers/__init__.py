"""The interactive pictures of the notebooks: a class and a script each.

`live.py` says how they work, and docs/contributing.md how to add one. What an explorer
shows can be set in code, so all of it can be tried without moving a slider by hand.
"""
