"""The `zeropoint` command line. It parses arguments, calls the packages below and prints; no model logic.

Read `app.py` (find and run a command, exit codes), `console.py` (stdout, stderr, colour), then any file in
`commands/`, one command each. `stdin.py` decides when a command reads stdin; `word_wrap.py` wraps streamed
answers on a terminal. `repl.py`, `chat_session.py` and `slash.py` are the interactive chat.
"""
